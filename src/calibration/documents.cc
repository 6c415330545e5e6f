#include "calibration/documents.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "io/json.h"
#include "tokenizer/unicode.h"

namespace occ {
namespace {

std::string from_utf16(ByteSpan bytes, bool big_endian) {
  std::string out;
  const auto unit = [&](size_t i) {
    const uint32_t a = bytes[i], b = bytes[i + 1];
    return big_endian ? a << 8 | b : b << 8 | a;
  };
  for (size_t i = 2; i + 1 < bytes.size(); i += 2) {
    uint32_t c = unit(i);
    if (c >= 0xD800 && c < 0xE000) {  // half of a surrogate pair
      const uint32_t low = i + 3 < bytes.size() ? unit(i + 2) : 0;
      const bool pair = c < 0xDC00 && low >= 0xDC00 && low < 0xE000;
      c = pair ? 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00) : 0xFFFD;
      if (pair) i += 2;
    }
    append_utf8(c, out);
  }
  return out;
}

Document parse_document(std::string_view line, const std::string& where) {
  const nlohmann::json json = parse_json(line, where);
  const auto string_of = [&](const nlohmann::json& object, const char* key) {
    if (!object.is_object() || !object.contains(key) || !object[key].is_string()) {
      throw_input("{}: {}: expected a string", where, key);
    }
    return object[key].get<std::string>();
  };
  if (!json.is_object() || (!json.contains("text") && !json.contains("messages"))) {
    throw_input("{}: expected an object with 'text' or 'messages'", where);
  }
  Document out;
  if (json.contains("text")) {
    out.text = string_of(json, "text");
    return out;
  }
  if (!json["messages"].is_array() || json["messages"].empty()) {
    throw_input("{}: messages: expected an array with at least one message", where);
  }
  for (const nlohmann::json& m : json["messages"]) {
    out.messages.push_back({string_of(m, "role"), string_of(m, "content")});
  }
  return out;
}

void read_file_to(const std::filesystem::path& path, std::vector<Document>* out) {
  const std::string text = decode_text(read_file(path), path);
  if (path.extension() != ".jsonl") {
    out->push_back({text, {}, true});
    return;
  }
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    ++number;
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      out->push_back(parse_document(line, fmt::format("{}: line {}", path.string(), number)));
    }
    begin = end + 1;
  }
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code ec;
  std::filesystem::recursive_directory_iterator at(folder, ec), end;
  for (; !ec && at != end; at.increment(ec)) {
    const std::filesystem::path& path = at->path();
    std::error_code unreadable;
    const bool text = path.extension() == ".txt" || path.extension() == ".jsonl";
    if (text && at->is_regular_file(unreadable)) files.push_back(path);
  }
  if (ec) throw_input("{}: cannot be read: {}", folder.string(), ec.message());
  if (files.empty()) throw_input("{}: expected files *.txt or *.jsonl in the folder, found none", folder.string());
  std::sort(files.begin(), files.end());
  return files;
}

// Parses a conversation whose messages begin with "User: " or "Assistant: " at the beginning of a line. A line without
// such a name belongs to the message before it.
std::vector<ChatMessage> parse_conversation(std::string_view text) {
  constexpr std::pair<std::string_view, const char*> kNames[] = {
      {"System: ", "system"}, {"User: ", "user"}, {"Assistant: ", "assistant"}};
  std::vector<ChatMessage> out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    bool named = false;
    for (const auto& [name, role] : kNames) {
      if (!line.starts_with(name)) continue;
      out.push_back({role, std::string(line.substr(name.size()))});
      named = true;
    }
    if (!named && out.empty()) return {};
    if (!named) out.back().content.append(1, '\n').append(line);
    begin = end + 1;
  }
  return out;
}

}  // namespace

std::string decode_text(ByteSpan bytes, const std::filesystem::path& path) {
  const auto begins = [&](std::initializer_list<uint8_t> mark) {
    return bytes.size() >= mark.size() && std::equal(mark.begin(), mark.end(), bytes.begin());
  };
  std::string text;
  if (begins({0xFF, 0xFE}) || begins({0xFE, 0xFF})) {
    text = from_utf16(bytes, bytes[0] == 0xFE);
  } else {
    if (begins({0xEF, 0xBB, 0xBF})) bytes = bytes.subspan(3);
    text = replace_invalid_utf8({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  size_t characters = 0, bad = 0;
  for (size_t at = 0; at < text.size(); ++characters) {
    const uint32_t c = next_char(text, at);
    bad += c == 0xFFFD || (c < 0x20 && (c < '\t' || c > '\r')) ? 1 : 0;
  }
  if (bad * 10 > characters) {
    throw_input("{}: expected text in UTF-8, or in UTF-16 with a byte order mark, found {} of {} characters invalid",
                path.string(), bad, characters);
  }
  return text;
}

std::vector<Document> read_documents(const std::vector<std::filesystem::path>& paths) {
  std::vector<Document> out;
  for (const std::filesystem::path& path : paths) {
    std::error_code ec;
    if (!std::filesystem::is_directory(path, ec)) {
      read_file_to(path, &out);
      continue;
    }
    for (const std::filesystem::path& file : files_of(path)) read_file_to(file, &out);
  }
  return out;
}

// The assembler includes the bytes of the file here, because g++ 12 has no #embed.
asm(R"(
  .pushsection .rodata
  .global occ_mixed_text
  .global occ_mixed_text_end
  .hidden occ_mixed_text
  .hidden occ_mixed_text_end
occ_mixed_text:
  .incbin ")" OCC_MIXED_TEXT R"("
occ_mixed_text_end:
  .popsection
)");
extern "C" const char occ_mixed_text[], occ_mixed_text_end[];

std::vector<Document> mixed_documents() {
  constexpr std::string_view kBetween = "\n%%\n";
  const std::string_view all(occ_mixed_text, static_cast<size_t>(occ_mixed_text_end - occ_mixed_text));
  std::vector<Document> out;
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(all.find(kBetween, begin), all.size());
    const std::string_view text = all.substr(begin, end - begin);
    Document document{"", parse_conversation(text), true};
    if (document.messages.empty()) document.text = std::string(text) + "\n\n";
    out.push_back(std::move(document));
    begin = end + kBetween.size();
  }
  return out;
}

}  // namespace occ
