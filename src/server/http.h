// What the HTTP library leaves to its user: JSON answers, bodies of bounded size, and the end of connections whose next
// bytes would be taken for a request although they belong to one that was refused.
#pragma once

#include <httplib.h>

#include <nlohmann/json.hpp>
#include <string>

#include "server/api_error.h"

namespace occ {

inline constexpr size_t kMostBodyBytes = size_t{8} << 20;  // after decompression

void set_json(httplib::Response& response, int status, const nlohmann::ordered_json& body);
nlohmann::ordered_json error_body(const ApiError& error);
void set_error(httplib::Response& response, const ApiError& error);
// The same for a request of which not all was read: the connection ends behind the answer.
void refuse(const httplib::Request& request, httplib::Response& response, const ApiError& error);

// Whether nothing follows the headers of a request.
bool is_bare(const httplib::Request& request);
// Throws unless the request has a body where one belongs, which says where it ends and is not too large.
void check_body(const httplib::Request& request);
// Reads the body. Returns false after refusing the request if the body is too large or wrong.
bool read_body(const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& reader,
               std::string* body);

}  // namespace occ
