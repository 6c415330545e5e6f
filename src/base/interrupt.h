// Ctrl-C as an ordinary error: the handler sets a flag, work loops ask for it between panels and unwind.
#pragma once

namespace occ {

// SIGINT and SIGTERM set the flag from now on; a second signal ends the process at once.
void install_interrupt_handler();
bool interrupted();
// Throws a kFailed error "interrupted" if the flag is set.
void throw_if_interrupted();

}  // namespace occ
