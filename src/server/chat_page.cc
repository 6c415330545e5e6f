#include "server/chat_page.h"

// The assembler includes the bytes of the file here, because g++ 12 has no #embed.
asm(R"(
  .pushsection .rodata
  .global occ_chat_page
  .global occ_chat_page_end
  .hidden occ_chat_page
  .hidden occ_chat_page_end
occ_chat_page:
  .incbin ")" OCC_CHAT_PAGE R"("
occ_chat_page_end:
  .popsection
)");
extern "C" const char occ_chat_page[], occ_chat_page_end[];

namespace occ {

std::string_view chat_page() { return {occ_chat_page, static_cast<size_t>(occ_chat_page_end - occ_chat_page)}; }

}  // namespace occ
