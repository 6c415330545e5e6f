// The page at /: a chat with the served models, in one file that needs no other and no network but the server itself.
#pragma once

#include <string_view>

namespace occ {

std::string_view chat_page();
// What the page may do, for browsers: run what stands in it, and ask the server that it came from.
inline constexpr const char* kChatPagePolicy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace occ
