#include "server/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "io/expect_error_for_test.h"
#include "io/json.h"
#include "model/fakes_for_test.h"
#include "server/api_error.h"
#include "server/text_reply.h"

namespace occ {
namespace {

using testing::HasSubstr;

// Takes a while for every call, and takes texts of up to five tokens.
class SlowEncoder final : public Encoder {
 public:
  SlowEncoder() {
    config_.vocab_size = kFakeVocab;
    config_.dim = 1;
    config_.max_text = 5;
  }
  const ModelConfig& config() const override { return config_; }
  Matrix<float> embed(std::span<const std::vector<TokenId>> texts, size_t) const override {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ++calls;
    for (const std::vector<TokenId>& t : texts) longest = std::max<size_t>(longest, t.size());
    return Matrix<float>(texts.size(), 1);
  }
  uint64_t weight_bytes() const override { return 0; }
  mutable std::atomic<size_t> calls{0}, longest{0};

 private:
  ModelConfig config_;
};

constexpr SchedulerOptions kSmall = {.context = 1u << 20, .parallel = 3, .queue = 1};

// A model that says x for ever, or an encoder.
std::unique_ptr<ServedModel> model_of(const std::string& id, bool encoder = false) {
  auto m = std::make_unique<ServedModel>();
  m->id = id;
  m->tokenizer = std::make_unique<ByteTokenizer>();
  if (encoder) {
    m->encoder = std::make_unique<SlowEncoder>();
    return m;
  }
  const auto x = [](TokenId, TokenId next) { return next == 'x' ? 5.0f : 0.0f; };
  m->transformer = std::make_unique<BigramModel>(x, size_t{1} << 20);
  m->scheduler = std::make_unique<Scheduler>(*m->transformer, *m->tokenizer, kSmall);
  return m;
}

// A connection that has sent a request.
class Client {
 public:
  Client(int port, const std::string& path, const std::string& body) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
    const std::string all =
        fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}", path,
                    body.size(), body);
    for (size_t at = 0; at < all.size();) {
      const ssize_t n = send(socket_, all.data() + at, all.size() - at, MSG_NOSIGNAL);
      if (n <= 0) break;
      at += static_cast<size_t>(n);
    }
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(socket_); }
  std::string answer() const {
    std::string all;
    char bytes[4096];
    for (ssize_t n; (n = recv(socket_, bytes, sizeof(bytes), 0)) > 0;) all.append(bytes, static_cast<size_t>(n));
    return all;
  }

 private:
  int socket_;
};

ServerOptions any_port(double seconds, const SchedulerOptions& scheduler) {
  ServerOptions options;
  options.port = 0;
  options.seconds = seconds;
  options.scheduler = scheduler;
  return options;
}

// A server of one encoder.
struct EncoderServer {
  const SlowEncoder* encoder;
  std::unique_ptr<Server> server;
  int port;
  explicit EncoderServer(double seconds) {
    std::vector<std::unique_ptr<ServedModel>> models;
    models.push_back(model_of("slow", true));
    encoder = static_cast<const SlowEncoder*>(models[0]->encoder.get());
    server = std::make_unique<Server>(std::move(models), any_port(seconds, kSmall));
    port = server->start();
  }
};

std::string many_texts() {  // 30 calls of the encoder, 1.5 seconds
  std::string body = R"({"input": ["a")";
  for (size_t i = 1; i < size_t{30} * 64; ++i) body += R"(,"b")";
  return body + "]}";
}

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(Server, EmbeddingsHaveADeadlineAlsoWhileTheyWait) {
  const EncoderServer s(0.3);
  const auto start = std::chrono::steady_clock::now();
  const Client first(s.port, "/v1/embeddings", many_texts()), second(s.port, "/v1/embeddings", many_texts());
  EXPECT_THAT(first.answer(), HasSubstr("HTTP/1.1 503 "));
  EXPECT_THAT(second.answer(), HasSubstr("its time was over"));
  EXPECT_LT(since(start), 1.4);
  EXPECT_LT(s.encoder->calls, 30u);
}

TEST(Server, EmbeddingsEndWithTheServerAndWithTheirClient) {
  const EncoderServer s(100);
  { const Client leaves(s.port, "/v1/embeddings", many_texts()); }
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_LT(s.encoder->calls, 8u);
  const Client stays(s.port, "/v1/embeddings", many_texts());
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const auto start = std::chrono::steady_clock::now();
  s.server->stop(0.1);
  EXPECT_LT(since(start), 1.2);
  EXPECT_THAT(stays.answer(), HasSubstr("shutting down"));
}

TEST(Server, EmbeddingsAreCutAndCountedAsTheModelTakesThem) {
  const EncoderServer s(100);
  for (const char* input : {"[1,2,3,4,5,6,7,8,9]", "[[1,2,3,4,5,6,7,8,9]]", "\"abcdefghij\""}) {
    const std::string answer = Client(s.port, "/v1/embeddings", fmt::format("{{\"input\": {}}}", input)).answer();
    EXPECT_THAT(answer, HasSubstr("\"prompt_tokens\":5,")) << input;
  }
  EXPECT_EQ(s.encoder->longest, 5u);
}

TEST(Server, OneDeadlineForTheEndOfAllModels) {
  std::vector<std::unique_ptr<ServedModel>> models;
  std::vector<std::shared_ptr<Completion>> endless;
  for (const char* id : {"a", "b", "c"}) {
    models.push_back(model_of(id));
    CompletionRequest request;
    request.prompt = {1};
    request.options.max_tokens = size_t{1} << 19;
    endless.push_back(std::make_shared<Completion>(request, Completion::Clock::now() + std::chrono::hours(1),
                                                   std::make_shared<Mailbox>()));
    ASSERT_TRUE(models.back()->scheduler->submit({&endless.back(), 1}));
  }
  Server server(std::move(models), any_port(100, kSmall));
  server.start();
  const auto start = std::chrono::steady_clock::now();
  server.stop(0.5);
  EXPECT_LT(since(start), 1.4);
}

TEST(Server, HasAThreadForAllThatMayWait) {
  const auto threads = [] {
    const std::filesystem::directory_iterator all("/proc/self/task");
    return std::distance(begin(all), end(all));
  };
  std::vector<std::unique_ptr<ServedModel>> models;
  for (const char* id : {"a", "b", "c"}) models.push_back(model_of(id));
  models.push_back(model_of("encoder", true));
  SchedulerOptions options = kSmall;
  options.queue = 10;
  Server server(std::move(models), any_port(100, options));
  const auto before = threads();
  server.start();
  for (size_t i = 0; i < 500 && threads() - before < 82; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_GE(threads() - before, 32 + 3 * (10 + 3) + 10 + 1);
}

TEST(Requests, CompletionsAreCountedBeforePromptsAreCopied) {
  const auto model = model_of("a");
  for (const char* body : {R"({"prompt": "a", "n": 5})", R"({"prompt": ["a", "b", "c"], "n": 2})"}) {
    try {
      parse_completion(parse_json(body, "request"), *model);
      ADD_FAILURE() << body;
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status(), 400);
      EXPECT_THAT(error.what(), HasSubstr("at most 4 completions"));
    }
  }
  EXPECT_EQ(parse_completion(parse_json(R"({"prompt": ["a", "b"], "n": 2})", "request"), *model).completions.size(),
            4u);
}

// Two tokens that are no characters are one text where they are written.
TEST(TextReply, KeysOfLikeliestTokensAreDifferent) {
  const auto model = model_of("a");
  TextReply reply(parse_completion(parse_json(R"({"prompt": "a", "logprobs": 2})", "request"), *model), *model);
  CompletionNews news;
  news.scores.push_back({'b', -0.5f, {{0x80, -1.0f}, {0x81, -2.0f}}});
  const nlohmann::json chunk = parse_json(json_line(reply.chunk(0, news)), "chunk");
  const nlohmann::json& top = chunk["choices"][0]["logprobs"]["top_logprobs"][0];
  ASSERT_EQ(top.size(), 1u);
  EXPECT_EQ(top.begin().value(), -1.0);
}

}  // namespace
}  // namespace occ
