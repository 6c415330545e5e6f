#include "server/connections.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <utility>
#include <vector>

namespace occ {
namespace {

using GetName = int (*)(int, sockaddr*, socklen_t*);

// Address and port of a socket's own or other end; port -1 for anything but a connection of IP.
std::pair<std::string, int> end_of(int socket, GetName get_name) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (get_name(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {"", -1};
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&storage);
    inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
    return {text, ntohs(in->sin_port)};
  }
  if (storage.ss_family == AF_INET6) {
    const auto* in = reinterpret_cast<const sockaddr_in6*>(&storage);
    inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof(text));
    return {text, ntohs(in->sin6_port)};
  }
  return {"", -1};
}

// Calls body(descriptor) for every open one until it returns true.
template <typename Body>
void for_each_descriptor(const Body& body) {
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), none; !error && at != none;
       at.increment(error)) {
    const std::string name = at->path().filename();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    if (fd >= 0 && body(fd)) return;
  }
}

}  // namespace

int find_connection(const std::string& address, int port) {
  int found = -1;
  for_each_descriptor([&](int fd) {
    if (end_of(fd, getpeername) != std::pair(address, port)) return false;
    found = fd;
    return true;
  });
  return found;
}

bool is_closed(int socket) {
  char byte;
  return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void end_writing(int socket) {
  constexpr std::chrono::seconds kMost{1};
  constexpr size_t kMostBytes = size_t{32} << 20;
  if (socket < 0) return;
  shutdown(socket, SHUT_WR);
  std::vector<char> bytes(size_t{1} << 16);
  const auto end = std::chrono::steady_clock::now() + kMost;
  for (size_t taken = 0; taken < kMostBytes;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd wait = {socket, POLLIN, 0};
    if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) <= 0) return;
    const ssize_t size = recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size <= 0) return;
    taken += static_cast<size_t>(size);
  }
}

void end_reading(int local_port) {
  for_each_descriptor([&](int fd) {
    if (end_of(fd, getsockname).second == local_port && end_of(fd, getpeername).second > 0) shutdown(fd, SHUT_RD);
    return false;
  });
}

}  // namespace occ
