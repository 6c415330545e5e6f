// Normalizers: the Unicode normalization forms C and D (Unicode Standard Annex 15), lower case, removal of marks, and
// BERT's normalization. All texts must be valid UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace occ {

std::string to_nfd(std::string_view text);
std::string to_nfc(std::string_view text);
std::string to_nfkd(std::string_view text);
std::string to_nfkc(std::string_view text);
std::string to_lower(std::string_view text);
std::string strip_marks(std::string_view text);  // removes characters of category M

// The normalization of BERT (Devlin et al., arXiv 1810.04805; class BasicTokenizer of its code), as the `tokenizers`
// package computes it.
struct BertOptions {
  bool clean_text = true;            // removes control characters, turns white space into spaces
  bool handle_chinese_chars = true;  // puts spaces around ideographs
  bool strip_accents = true;
  bool lowercase = true;
};
std::string bert_normalize(std::string_view text, const BertOptions& options);

}  // namespace occ
