#include "base/cache.h"

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

namespace occ {
namespace {

// Empty: there is none.
std::filesystem::path cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return std::filesystem::path(cache) / "occ";
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return std::filesystem::path(home) / ".cache" / "occ";
  return {};
}

}  // namespace

// A file: the xxh64 of the bytes, then the bytes.
std::optional<Bytes> read_cache(const std::string& name) {
  const std::filesystem::path path = cache_folder() / name;
  std::error_code ec;
  if (!path.is_absolute() || !std::filesystem::exists(path, ec)) return std::nullopt;
  try {
    const Bytes file = read_file(path);
    ByteReader reader(file, path.string());
    const uint64_t hash = reader.get<uint64_t>();
    const ByteSpan bytes = reader.get_bytes(reader.remaining());
    if (hash64(bytes) == hash) return Bytes(bytes.begin(), bytes.end());
  } catch (const Error&) {  // as if there were none
  }
  return std::nullopt;
}

void write_cache(const std::string& name, ByteSpan bytes) {
  const std::filesystem::path folder = cache_folder();
  if (folder.empty()) return;
  std::error_code ec;
  std::filesystem::create_directories(folder, ec);
  try {
    const uint64_t hash = hash64(bytes);
    OutputFile file(folder / name, false);
    file.write(&hash, sizeof(hash));
    file.write(bytes);
    file.commit();
  } catch (const Error&) {  // read-only homes and full disks: made again next time
  }
}

}  // namespace occ
