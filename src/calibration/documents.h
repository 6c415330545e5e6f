// Reads calibration texts as documents: from text files, from files of JSON lines, from folders of both, or from the
// mixed text that is built into the program.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "chat/chat.h"

namespace occ {

// A text or a conversation.
struct Document {
  std::string text;
  std::vector<ChatMessage> messages;  // the conversation; empty if the document is a text
  bool lines = false;  // whether every line is a text of its own for models that take single texts (encoders)
};

// Reads files and folders in the given order. Of a folder and the folders in it, the files `*.txt` and `*.jsonl` are
// read in the order of their names. A file `*.jsonl` has one document in each line: an object with `text` (a string) or
// `messages` (an array of objects with the strings `role` and `content`). Every other file is one document. Input error
// that names the file and the line if it cannot be read or has other content, or if a folder has no such file.
std::vector<Document> read_documents(const std::vector<std::filesystem::path>& paths);

// Returns the text that is built into the program, src/calibration/mixed_text.txt: prose in many languages, source
// code, conversations, tables, markup and numbers, all of it written for this project.
std::vector<Document> mixed_documents();

// Returns the text of a file in UTF-8. UTF-16 is recognised by its byte order mark. Invalid parts become U+FFFD. Input
// error naming `path` if more than a tenth of the characters are invalid or control characters: then the file has
// another encoding, or is not text.
std::string decode_text(ByteSpan bytes, const std::filesystem::path& path);

}  // namespace occ
