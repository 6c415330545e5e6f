#include "server/server.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <set>
#include <thread>

#include "base/error.h"
#include "io/json.h"
#include "model/embed.h"
#include "server/chat_page.h"
#include "server/connections.h"
#include "server/http.h"
#include "server/metrics.h"
#include "server/text_reply.h"

namespace occ {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using Clock = Completion::Clock;

constexpr const char *kCompletions = "/v1/completions", *kChats = "/v1/chat/completions",
                     *kEmbeddings = "/v1/embeddings";
constexpr size_t kIdleConnections = 32;                  // beside those that wait for an answer
constexpr std::chrono::seconds kLastWords{1};            // for clients to take the ends of their answers
constexpr std::chrono::milliseconds kLookAtClient{100};  // how often it is looked whether the client is still there

// Takes the same time for all texts of one length.
bool equal_secret(const std::string& a, const std::string& b) {
  unsigned different = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) different |= static_cast<unsigned char>(a[i] ^ b[i]);
  return different == 0;
}

// "localhost" of "localhost:8080", "[::1]" of "[::1]:8080".
std::string host_of(const std::string& authority) {
  const size_t colon = authority.rfind(':');
  return colon == std::string::npos || authority.ends_with("]") ? authority : authority.substr(0, colon);
}

std::string base64(const std::string& bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0);
    }
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kDigits[group >> (18 - 6 * k) & 63];
  }
  return out;
}

// Counts as long as it is there.
struct Counted {
  std::atomic<size_t>& count;
  const size_t before;
  explicit Counted(std::atomic<size_t>& c) : count(c), before(c.fetch_add(1)) {}
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --count; }
};

ApiError no_such(const httplib::Request& request) {
  return ApiError(404,
                  fmt::format("there is no {} {} here", printable(request.method, 20), printable(request.path, 200)));
}

thread_local bool t_answers = false;  // this thread answers a request that is counted

// The completions of one request. Whoever lets go of it before they ended cancels them.
struct Running {
  TextReply reply;
  std::vector<std::shared_ptr<Completion>> completions;
  size_t open;  // that have not ended

  Running(TextReply r, std::vector<std::shared_ptr<Completion>> all)
      : reply(std::move(r)), completions(std::move(all)), open(completions.size()) {}
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    for (const auto& c : completions) c->cancel();
  }
  // Calls body(i, news) for all news, after waiting for some.
  template <typename Body>
  void for_each_news(const Body& body) {
    wait_for_news(completions, kLookAtClient);
    for (size_t i = 0; i < completions.size(); ++i) {
      const std::optional<CompletionNews> news = completions[i]->news();
      if (!news) continue;
      if (!news->error.empty()) throw ApiError(news->status, news->error);
      open -= news->end ? 1 : 0;
      reply.add(i, *news);
      body(i, *news);
    }
  }
};

}  // namespace

struct Server::Impl {
  std::vector<std::unique_ptr<ServedModel>> models;
  ServerOptions options;
  httplib::Server http;
  Metrics metrics;
  std::thread thread;
  int port = 0;
  std::atomic<bool> stopping{false}, ending{false};  // nothing more is taken; what is under way shall end, too
  std::atomic<size_t> embedding{0};                  // requests for vectors
  std::atomic<size_t> answering{0};                  // requests whose answers have not been sent to their ends
  const std::time_t created = std::time(nullptr);

  using Answer = void (Impl::*)(const httplib::Request& request, const std::string& text, httplib::Response& response);
  void set_up();
  void post(const char* path, Answer answer);
  Clock::time_point deadline() const {  // of a request that begins now
    return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.seconds));
  }
  void check_client(const httplib::Request& request) const;
  ServedModel& model_of(const json& body) const;
  ordered_json list_models() const;
  void complete(const httplib::Request& request, const std::string& text, httplib::Response& response);
  void send_stream(httplib::Response& response, const std::shared_ptr<Running>& running) const;
  void embed(const httplib::Request& request, const std::string& text, httplib::Response& response);
};

// Throws unless the request may be answered: pages of other origins must not use a server on the reader's own machine,
// also not by a name of theirs that leads here.
void Server::Impl::check_client(const httplib::Request& request) const {
  static const std::set<std::string> kLocal = {"localhost", "127.0.0.1", "[::1]"};
  const std::string host = request.get_header_value("Host");
  if ((options.host == "localhost" || options.host == "::1" || options.host.starts_with("127.")) &&
      !kLocal.count(host_of(host)) && host_of(host) != options.host) {
    throw ApiError(403, fmt::format("the server answers to localhost only, not to '{}'", printable(host, 100)));
  }
  const std::string origin = request.get_header_value("Origin");
  if (!origin.empty() && origin != "http://" + host && origin != "https://" + host) {
    throw ApiError(403, fmt::format("pages of '{}' may not use this server", printable(origin, 100)));
  }
  if (options.api_key.empty() || request.path == "/" || request.path == "/health") return;
  if (!equal_secret(request.get_header_value("Authorization"), "Bearer " + options.api_key)) {
    throw ApiError(401, "expected the key of the server in the header Authorization: Bearer KEY", "invalid_api_key");
  }
}

ServedModel& Server::Impl::model_of(const json& body) const {
  if (!body.is_object()) throw ApiError(400, "expected a JSON object");
  const auto name = body.find("model");
  if (name == body.end() || name->is_null()) return *models.front();
  for (const auto& model : models) {
    if (*name == model->id) return *model;
  }
  throw ApiError(
      404,
      fmt::format("there is no model {} here; /v1/models lists those that there are", printable(name->dump(), 100)),
      "model_not_found");
}

ordered_json Server::Impl::list_models() const {
  ordered_json list;
  list["object"] = "list";
  list["data"] = ordered_json::array();
  for (const auto& model : models) {
    ordered_json m;
    m["id"] = model->id;
    m["object"] = "model";
    m["created"] = created;
    m["owned_by"] = "occ";
    ordered_json& more = m["occ"];
    more["kind"] = model->scheduler ? "language model" : "encoder";
    more["weights"] = model->weights;
    more["file_bytes"] = model->file_bytes;
    more["bits_per_weight"] = model->bits_per_weight();
    if (model->scheduler) {
      more["context"] = model->scheduler->context();
      more["chat"] = !model->tokenizer->chat_template().empty();
    }
    list["data"].push_back(std::move(m));
  }
  return list;
}

void Server::Impl::complete(const httplib::Request& request, const std::string& text, httplib::Response& response) {
  const json body = parse_json(text, "request");
  const ServedModel& model = model_of(body);
  const bool chat = request.path == kChats;
  TextRequest parsed = chat ? parse_chat(body, text, model) : parse_completion(body, model);
  const auto mailbox = std::make_shared<Mailbox>();
  const Clock::time_point end = deadline();
  std::vector<std::shared_ptr<Completion>> completions;
  for (const CompletionRequest& c : parsed.completions) {
    completions.push_back(std::make_shared<Completion>(c, end, mailbox));
  }
  const auto running = std::make_shared<Running>(TextReply(std::move(parsed), model), std::move(completions));
  if (stopping) throw ApiError(503, "the server is shutting down");
  if (!model.scheduler->submit(running->completions)) {
    throw ApiError(429, "too many requests wait already: try again later", "queue_full");
  }
  if (running->reply.request().stream) return send_stream(response, running);
  const int socket = find_connection(request.remote_addr, request.remote_port);
  while (running->open > 0) {
    running->for_each_news([](size_t, const CompletionNews&) {});
    if (running->open > 0 && socket >= 0 && is_closed(socket)) throw ApiError(499, "the client has gone");
  }
  set_json(response, 200, running->reply.whole());
}

// Events "data: JSON", the last one "data: [DONE]".
void Server::Impl::send_stream(httplib::Response& response, const std::shared_ptr<Running>& running) const {
  response.set_header("Cache-Control", "no-cache");
  response.set_chunked_content_provider("text/event-stream", [running](size_t, httplib::DataSink& sink) {
    const auto send = [&](const std::string& data) {
      const std::string event = "data: " + data + "\n\n";
      return sink.write(event.data(), event.size());
    };
    std::string events;
    try {
      bool good = true;
      running->for_each_news(
          [&](size_t i, const CompletionNews& news) { good = good && send(json_line(running->reply.chunk(i, news))); });
      if (!good) return false;
      if (running->open > 0) return sink.is_writable();
      if (running->reply.request().include_usage) send(json_line(running->reply.usage_chunk()));
    } catch (const ApiError& error) {
      send(json_line(error_body(error)));
    }
    send("[DONE]");
    sink.done();
    return true;
  });
}

void Server::Impl::embed(const httplib::Request& request, const std::string& text, httplib::Response& response) {
  const Counted under_way(embedding);
  const Clock::time_point last = deadline();
  const json body = parse_json(text, "request");
  ServedModel& model = model_of(body);
  EmbeddingsRequest parsed = parse_embeddings(body, model);
  if (stopping) throw ApiError(503, "the server is shutting down");
  const int socket = find_connection(request.remote_addr, request.remote_port);
  const auto check = [&] {
    if (ending) throw ApiError(503, "the server is shutting down");
    if (Clock::now() >= last) throw ApiError(503, "its time was over before all vectors were there");
    if (socket >= 0 && is_closed(socket)) throw ApiError(499, "the client has gone");
  };
  size_t tokens = 0;
  Matrix<float> vectors;
  {
    std::unique_lock turn(model.encoder_turn, std::defer_lock);
    {
      const Counted waiting(model.encoder_waiting);
      if (waiting.before > options.scheduler.queue) {
        throw ApiError(429, "too many requests wait already: try again later", "queue_full");
      }
      while (!turn.try_lock_for(kLookAtClient)) check();
    }
    check();
    EmbedOptions how;
    how.prompt = model.embedding_prompt;
    how.tokens = &tokens;
    how.progress = [&](uint64_t done, uint64_t total) {
      if (done < total) check();
    };
    vectors = parsed.ids.empty() ? embed_texts(*model.encoder, *model.tokenizer, parsed.texts, how)
                                 : embed_tokens(*model.encoder, *model.tokenizer, std::move(parsed.ids), how);
  }
  if (parsed.dimensions && *parsed.dimensions != vectors.cols()) {
    throw ApiError(400, fmt::format("request.dimensions: expected {}, found {}", vectors.cols(), *parsed.dimensions));
  }
  ordered_json reply;
  reply["object"] = "list";
  reply["data"] = ordered_json::array();
  for (size_t i = 0; i < vectors.rows(); ++i) {
    ordered_json entry;
    entry["object"] = "embedding";
    entry["index"] = i;
    if (parsed.base64) {
      std::string bytes(vectors.cols() * sizeof(float), '\0');
      std::memcpy(bytes.data(), vectors.row(i), bytes.size());
      entry["embedding"] = base64(bytes);
    } else {
      entry["embedding"] = std::vector<float>(vectors.row(i), vectors.row(i) + vectors.cols());
    }
    reply["data"].push_back(std::move(entry));
  }
  reply["model"] = model.id;
  reply["usage"]["prompt_tokens"] = tokens;
  reply["usage"]["total_tokens"] = tokens;
  set_json(response, 200, reply);
}

void Server::Impl::set_up() {
  size_t threads = kIdleConnections;  // and one for every request that may wait or be under way
  for (const auto& model : models) {
    threads += model->scheduler ? options.scheduler.queue + options.scheduler.parallel : 0;
    threads += model->encoder ? options.scheduler.queue + 2 : 0;
  }
  http.new_task_queue = [threads] { return new httplib::ThreadPool(threads); };
  http.set_payload_max_length(kMostBodyBytes);
  http.set_keep_alive_max_count(1000);
  http.set_tcp_nodelay(true);
  // The library would let a second server have the same port.
  http.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  http.set_default_headers({{"X-Content-Type-Options", "nosniff"}});
  http.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
    try {
      check_client(request);
      check_body(request);
      const std::string& path = request.path;
      if (request.method == "POST" && path != kCompletions && path != kChats && path != kEmbeddings) {
        throw no_such(request);
      }
    } catch (const ApiError& error) {
      is_bare(request) ? set_error(response, error) : refuse(request, response, error);
      return httplib::Server::HandlerResponse::Handled;
    }
    t_answers = true;
    ++answering;
    return httplib::Server::HandlerResponse::Unhandled;
  });
  http.set_exception_handler([](const httplib::Request&, httplib::Response& response, std::exception_ptr thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const ApiError& error) {
      set_error(response, error);
    } catch (const Error& error) {
      set_error(response, ApiError(error.kind() == ErrorKind::kFailed ? 500 : 400, error.what()));
    } catch (const std::bad_alloc&) {
      set_error(response, ApiError(500, "out of memory"));
    } catch (const std::exception& error) {
      set_error(response, ApiError(500, error.what()));
    }
  });
  http.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
    if (response.has_header("Content-Type")) return;
    if (response.status == 404) return set_error(response, no_such(request));
    refuse(request, response, ApiError(response.status, "the request cannot be read as HTTP"));
  });
  http.set_post_routing_handler([](const httplib::Request&, httplib::Response& response) {
    if (response.get_header_value("Connection") == "close") response.headers.erase("Keep-Alive");
  });
  http.set_logger([this](const httplib::Request& request, const httplib::Response& response) {  // after the answer
    if (std::exchange(t_answers, false)) --answering;
    metrics.add_request(request.path, response.status);
    if (options.log) {
      std::fprintf(stderr, "%s %s %d\n", request.method.c_str(), printable(request.path).c_str(), response.status);
    }
  });
  http.Get("/", [](const httplib::Request&, httplib::Response& response) {
    response.set_header("Content-Security-Policy", kChatPagePolicy);
    response.set_content(std::string(chat_page()), "text/html; charset=utf-8");
  });
  http.Get("/health", [](const httplib::Request&, httplib::Response& response) {
    set_json(response, 200, {{"status", "ok"}});
  });
  http.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
    response.set_content(metrics.text(models), "text/plain; version=0.0.4");
  });
  http.Get("/v1/models",
           [this](const httplib::Request&, httplib::Response& response) { set_json(response, 200, list_models()); });
  post(kCompletions, &Impl::complete);
  post(kChats, &Impl::complete);
  post(kEmbeddings, &Impl::embed);
}

void Server::Impl::post(const char* path, Answer answer) {
  http.Post(path, [this, answer](const httplib::Request& request, httplib::Response& response,
                                 const httplib::ContentReader& reader) {
    std::string text;
    if (read_body(request, response, reader, &text)) (this->*answer)(request, text, response);
  });
}

Server::Server(std::vector<std::unique_ptr<ServedModel>> models, const ServerOptions& options)
    : impl_(std::make_unique<Impl>()) {
  std::set<std::string> ids;
  for (const auto& model : models) {
    if (!ids.insert(model->id).second) throw_usage("two models have the name '{}'", model->id);
  }
  impl_->models = std::move(models);
  impl_->options = options;
  impl_->set_up();
}

Server::~Server() { stop(0); }

int Server::start() {
  const ServerOptions& o = impl_->options;
  impl_->port = o.port;
  errno = 0;  // a name without an address leaves it so
  const bool bound =
      o.port == 0 ? (impl_->port = impl_->http.bind_to_any_port(o.host)) > 0 : impl_->http.bind_to_port(o.host, o.port);
  if (!bound) {
    throw_failed("{}:{}: cannot be listened on{}{}", o.host, o.port, errno == 0 ? "" : ": ",
                 errno == 0 ? "" : std::strerror(errno));
  }
  impl_->thread = std::thread([this] { impl_->http.listen_after_bind(); });
  // stop() does nothing before the loop runs.
  while (!impl_->http.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return impl_->port;
}

void Server::stop(double seconds) {
  impl_->stopping = true;
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  for (const auto& model : impl_->models) {
    const double left = std::chrono::duration<double>(end - Clock::now()).count();
    if (model->scheduler) model->scheduler->close(std::max(0.0, left));
  }
  while (impl_->embedding > 0 && Clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  impl_->ending = true;
  if (!impl_->thread.joinable()) return;
  // The ends of answers are still to be sent; the library would not go on with them after stop().
  for (const auto most = Clock::now() + kLastWords; impl_->answering > 0 && Clock::now() < most;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  impl_->http.stop();
  end_reading(impl_->port);
  impl_->thread.join();
}

}  // namespace occ
