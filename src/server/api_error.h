// An error that the client is told about, as the API of OpenAI has it.
#pragma once

#include <stdexcept>
#include <string>

namespace occ {

class ApiError : public std::runtime_error {
 public:
  // status of HTTP; code: a word for programs, may be empty.
  ApiError(int status, const std::string& message, std::string code = {})
      : std::runtime_error(message), status_(status), code_(std::move(code)) {}
  int status() const { return status_; }
  const std::string& code() const { return code_; }
  std::string type() const {
    if (status_ == 401) return "authentication_error";
    if (status_ == 429) return "rate_limit_error";
    return status_ < 500 ? "invalid_request_error" : "server_error";
  }

 private:
  int status_;
  std::string code_;
};

}  // namespace occ
