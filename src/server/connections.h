// The connections of this process, found by their addresses: the HTTP library does not tell which socket a request came
// by, and only the socket knows whether the client is still there.
#pragma once

#include <string>

namespace occ {

// The socket connected to that address and port, or -1.
int find_connection(const std::string& address, int port);
// Whether the other side has closed the connection.
bool is_closed(int socket);
// Tells the other side that nothing more comes, and takes what it still sends for a short while: if the socket were
// closed before, the other side might lose the end of the answer.
void end_writing(int socket);
// Ends the reading of all connections to the local port, so that what waits for further requests comes to its end.
void end_reading(int local_port);

}  // namespace occ
