#include "base/cache.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/byte_count.h"
#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/temporary.h"

namespace occ {
namespace {

namespace fs = std::filesystem;

constexpr auto kMostAge = std::chrono::hours(24 * 90);

// The folder of the cache. Empty if neither XDG_CACHE_HOME nor HOME is an absolute path; then there is no cache.
fs::path cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return fs::path(cache) / "occ";
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return fs::path(home) / ".cache" / "occ";
  return {};
}

uint64_t cache_size() {
  const char* text = std::getenv("OCC_CACHE_SIZE");
  if (text == nullptr || *text == '\0') return 5'000'000'000;
  if (std::string(text) == "0") return 0;
  const std::optional<uint64_t> bytes = parse_byte_count(text);
  if (!bytes) throw_usage("OCC_CACHE_SIZE: expected 0 or bytes such as 500MB, found '{}'", text);
  return *bytes;
}

// Removes old files that lie in the folder itself, not in folders below. A file that another run removes at the same
// time is no error.
void trim(const fs::path& folder, uint64_t limit) {
  struct Entry {
    fs::file_time_type used;
    uint64_t bytes;
    fs::path path;
  };
  std::vector<Entry> entries;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    std::error_code gone;
    if (!fs::is_regular_file(it->symlink_status(gone))) continue;
    const std::string name = it->path().filename().string();
    if (const size_t at = name.rfind(".tmp"); at != std::string::npos) {
      remove_stale_temporaries(folder / name.substr(0, at));
      continue;
    }
    const Entry entry{it->last_write_time(gone), it->file_size(gone), it->path()};
    if (!gone) entries.push_back(entry);
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used > b.used; });
  const auto oldest = fs::file_time_type::clock::now() - kMostAge;
  uint64_t kept = 0;
  for (const Entry& e : entries) {
    if (e.used >= oldest && e.bytes <= limit - kept) {
      kept += e.bytes;
    } else {
      limit = kept;  // and with it all that was used before
      fs::remove(e.path, ec);
    }
  }
}

}  // namespace

void check_cache_size() { cache_size(); }

// A file of the cache holds the xxh64 of the bytes and then the bytes. Its modification time is the time of its last
// use.
std::optional<Bytes> read_cache(const std::string& name) {
  const uint64_t limit = cache_size();
  const fs::path path = cache_folder() / name;
  std::error_code ec;
  if (limit == 0 || !path.is_absolute() || !fs::exists(path, ec)) return std::nullopt;
  try {
    const Bytes file = read_file(path, limit);
    ByteReader reader(file, path.string());
    const uint64_t hash = reader.get<uint64_t>();
    const ByteSpan bytes = reader.get_bytes(reader.remaining());
    if (hash64(bytes) == hash) {
      fs::last_write_time(path, fs::file_time_type::clock::now(), ec);
      return Bytes(bytes.begin(), bytes.end());
    }
  } catch (const Error&) {  // as if there were none
  }
  return std::nullopt;
}

void write_cache(const std::string& name, ByteSpan bytes) {
  const uint64_t limit = cache_size();
  const fs::path folder = cache_folder();
  if (folder.empty() || bytes.size() + sizeof(uint64_t) > limit) return;
  std::error_code ec;
  fs::create_directories(folder, ec);
  try {
    const uint64_t hash = hash64(bytes);
    OutputFile file(folder / name, false);
    file.write(&hash, sizeof(hash));
    file.write(bytes);
    file.commit();
    trim(folder, limit);
  } catch (const Error&) {  // read-only homes and full disks: made again next time
  }
}

}  // namespace occ
