// The texts of a calibration as documents: from text files, files of JSON lines and folders of both, or the mixed text
// that is part of the program.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "tokenizer/chat.h"

namespace occ {

// Either a text or a conversation.
struct Document {
  std::string text;
  std::vector<ChatMessage> messages;  // empty: a text
  bool lines = false;                 // every line of the text is a text of its own where the model takes single texts
};

// Reads files and folders in the order given, and the files `*.txt` and `*.jsonl` of a folder, also of folders in it, by
// name. A file `*.jsonl` has one document a line, an object with `text` (a string) or `messages` (an array of objects
// with `role` and `content`, strings). Every other file is one document. Input error that names the file, and the line,
// if it cannot be read or is something else, or if a folder has no such file.
std::vector<Document> read_documents(const std::vector<std::filesystem::path>& paths);

// The text that ships with the program, src/calibration/mixed_text.txt: prose in many languages, source code,
// conversations, tables, markup and numbers, all of it written for this project.
std::vector<Document> mixed_documents();

// Returns the UTF-8 text in the bytes of a file: UTF-16 is recognised by its byte order mark. Parts that are not valid
// become U+FFFD. Input error naming `path` if more than a tenth of the characters are such parts or control characters:
// then it is another encoding, or no text.
std::string decode_text(ByteSpan bytes, const std::filesystem::path& path);

}  // namespace occ
