// Signals that end a run, as ordinary errors: the handler sets a flag, work loops ask for it between panels and unwind.
#pragma once

namespace occ {

// SIGINT, SIGTERM, SIGXCPU and, unless ignored, SIGHUP set the flag; a second one kills. SIGXFSZ: writes fail instead.
void install_interrupt_handler();
bool interrupted();
// Throws a kFailed error "interrupted" if the flag is set.
void throw_if_interrupted();

}  // namespace occ
