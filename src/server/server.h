// `occ serve`: models behind HTTP, with the API of OpenAI, a page to chat with and figures for Prometheus.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/served_model.h"

namespace occ {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;       // 0: any that is free
  std::string api_key;   // empty: none is asked for
  double seconds = 600;  // most for one request, waiting included; then an answer ends as if by length
  SchedulerOptions scheduler;
  bool log = false;  // a line on stderr for every request
};

class Server {
 public:
  // The first model is that of requests that name none. Usage error if two have one id.
  Server(std::vector<std::unique_ptr<ServedModel>> models, const ServerOptions& options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Returns the port; from then on connections are accepted. Failed error if the address cannot be had.
  int start();
  // Takes no more requests, gives answers that are under way so many seconds to end, then ends them with an error.
  void stop(double seconds);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace occ
