// Turns signals that end a run into ordinary errors: the handler of the signal sets a flag, and the loops that do the
// work check the flag between items and throw.
#pragma once

namespace occ {

// After this call SIGINT, SIGTERM, SIGXCPU and, unless it is ignored, SIGHUP set the flag. The same signal for the
// second time ends the process. SIGXFSZ is ignored, so that a write beyond the file size limit fails with an error.
void install_interrupt_handler();
bool interrupted();
// Sets or clears the flag. For programs with signal handlers of their own, such as the Python interpreter.
void set_interrupted(bool value);
// Throws a kFailed error "interrupted" if the flag is set.
void throw_if_interrupted();

}  // namespace occ
