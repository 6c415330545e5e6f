// Normalizers on characters: Unicode forms C and D (UAX 15), and what BERT does to a text.
#pragma once

#include <string>
#include <string_view>

namespace occ {

std::string to_nfd(std::string_view text);
std::string to_nfc(std::string_view text);
std::string to_lower(std::string_view text);
std::string strip_marks(std::string_view text);

// Devlin et al., arXiv 1810.04805, the BasicTokenizer of its code, as `tokenizers` has it.
struct BertOptions {
  bool clean_text = true;            // no control characters, white space becomes spaces
  bool handle_chinese_chars = true;  // spaces around ideographs
  bool strip_accents = true;
  bool lowercase = true;
};
std::string bert_normalize(std::string_view text, const BertOptions& options);

}  // namespace occ
