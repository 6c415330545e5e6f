#include "server/http.h"

#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <utility>

#include "io/json.h"
#include "server/connections.h"
#include "server/text_reply.h"

namespace occ {
namespace {

ApiError too_large() { return ApiError(413, fmt::format("expected a request of at most {} bytes", kMostBodyBytes)); }

}  // namespace

void set_json(httplib::Response& response, int status, const nlohmann::ordered_json& body) {
  response.status = status;
  response.set_content(json_line(body) + "\n", "application/json");
}

nlohmann::ordered_json error_body(const ApiError& error) {
  nlohmann::ordered_json body;
  body["error"]["message"] = printable(error.what(), 1000);
  body["error"]["type"] = error.type();
  body["error"]["param"] = nullptr;
  body["error"]["code"] = error.code().empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(error.code());
  return body;
}

void set_error(httplib::Response& response, const ApiError& error) {
  set_json(response, error.status(), error_body(error));
  if (error.status() == 429 || error.status() == 503) response.set_header("Retry-After", "1");
  if (error.status() == 401) response.set_header("WWW-Authenticate", "Bearer");
}

void refuse(const httplib::Request& request, httplib::Response& response, const ApiError& error) {
  set_error(response, error);
  response.set_header("Connection", "close");
  if (request.method == "HEAD") return;  // the answer has no body
  const auto text = std::make_shared<std::string>(std::exchange(response.body, {}));
  response.headers.erase("Content-Type");
  // The library closes a connection if a provider of the answer's body fails, and in no other case.
  const auto provide = [text, address = request.remote_addr, port = request.remote_port](size_t offset, size_t length,
                                                                                         httplib::DataSink& sink) {
    sink.write(text->data() + offset, length);
    end_writing(find_connection(address, port));
    return false;
  };
  response.set_content_provider(text->size(), "application/json", provide);
}

bool is_bare(const httplib::Request& request) {
  const bool may_be = request.method == "GET" || request.method == "HEAD" || request.method == "OPTIONS";
  return may_be && !request.has_header("Transfer-Encoding") &&
         (!request.has_header("Content-Length") ||
          (request.get_header_value_count("Content-Length") == 1 && request.get_header_value("Content-Length") == "0"));
}

void check_body(const httplib::Request& request) {
  if (is_bare(request)) return;
  if (request.method != "POST") {
    throw ApiError(400, fmt::format("expected POST, or a request without a body, found {}", request.method));
  }
  const bool chunked = request.has_header("Transfer-Encoding"), sized = request.has_header("Content-Length");
  if (!chunked && !sized) throw ApiError(411, "expected the header Content-Length");
  const std::string size = request.get_header_value("Content-Length");
  uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), bytes);
  const bool good = chunked ? !sized && request.get_header_value_count("Transfer-Encoding") == 1 &&
                                  request.get_header_value("Transfer-Encoding") == "chunked"
                            : request.get_header_value_count("Content-Length") == 1 && end == size.data() + size.size();
  if (!good) throw ApiError(400, "expected either Content-Length, once and a number, or Transfer-Encoding: chunked");
  if (error == std::errc::result_out_of_range || bytes > kMostBodyBytes) throw too_large();
  if (request.is_multipart_form_data()) throw ApiError(415, "expected a body of JSON, found multipart/form-data");
}

bool read_body(const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& reader,
               std::string* body) {
  bool fits = true;
  const bool complete = reader([&](const char* data, size_t size) {
    fits = size <= kMostBodyBytes - body->size();
    if (fits) body->append(data, size);
    return fits;
  });
  if (complete) return true;
  refuse(request, response,
         !fits                    ? too_large()
         : response.status == 415 ? ApiError(415, "this Content-Encoding is not known here")
                                  : ApiError(400, "the body of the request cannot be read"));
  return false;
}

}  // namespace occ
