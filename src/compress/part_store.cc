#include "compress/part_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/option_name.h"
#include "base/temporary.h"
#include "io/json.h"

namespace occ {
namespace {

constexpr const char* kJobFile = "job.txt";

// Whether the file was made by a store, finished or not.
bool is_ours(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(kJobFile) || (name.size() >= 11 && name.substr(6, 5) == ".part");
}

struct OpenPart {
  InputFile file;
  std::string json;
  uint64_t blob_offset;
};

std::optional<OpenPart> open_part(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  InputFile file(path);
  uint64_t size = 0;
  file.read(0, &size, sizeof(size));
  if (size > file.size()) throw_input("{}: expected a part file", path.string());
  std::string json(size, '\0');
  file.read(sizeof(size), json.data(), size);
  return OpenPart{std::move(file), std::move(json), sizeof(size) + size};
}

bool has_parts(const std::filesystem::path& folder) {
  std::error_code ec;
  const auto files = std::filesystem::directory_iterator(folder, ec);
  return std::any_of(begin(files), end(files), [](const auto& f) { return f.path().extension() == ".part"; });
}

}  // namespace

void require_no_parts(const std::filesystem::path& output, bool resume, bool force) {
  const std::filesystem::path folder = output.string() + ".part";
  if (resume || force || !has_parts(folder) || !std::filesystem::exists(folder / kJobFile)) return;
  throw_failed("{}: is left from an interrupted run, use {} to go on or {} to start over", folder.string(),
               option_name("resume"), option_name("force"));
}

PartStore::PartStore(const std::filesystem::path& output, const std::string& job, bool resume, bool force)
    : folder_(output.string() + ".part") {
  const std::filesystem::path job_file = folder_ / kJobFile;
  std::error_code ec;
  std::filesystem::create_directory(folder_, ec);
  if (!std::filesystem::is_directory(folder_))
    throw_failed("{}: cannot be created: {}", folder_.string(), ec.message());
  lock_.emplace(folder_);
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (!is_ours(entry.path())) {
      throw_failed("{}: holds '{}', which is not from an interrupted run", folder_.string(),
                   entry.path().filename().string());
    }
  }
  if (has_parts(folder_) && std::filesystem::exists(job_file)) {
    const Bytes old = read_file(job_file);
    const bool same = std::string(old.begin(), old.end()) == job;
    if (resume && same) {
      for (const auto& entry : std::filesystem::directory_iterator(folder_)) {  // removes parts that were not finished
        if (entry.path().filename().string().find(".tmp") != std::string::npos) std::filesystem::remove(entry.path());
      }
      remove_stale_temporaries(output);
      return;
    }
    if (!force && resume) {
      throw_failed("{}: is left from a run with other arguments or another input, use {} to start over",
                   folder_.string(), option_name("force"));
    }
    require_no_parts(output, resume, force);
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) std::filesystem::remove(entry.path());
  remove_stale_temporaries(output);
  OutputFile file(job_file, false);
  file.write(job.data(), job.size());
  file.commit();
}

PartStore::~PartStore() {
  try {
    if (!has_parts(folder_)) remove();
  } catch (const std::exception&) {  // out of memory: the next run removes the folder
  }
}

PartStore::FolderLock::FolderLock(const std::filesystem::path& folder)
    : fd_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_ >= 0 && ::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  if (fd_ >= 0) ::close(fd_);
  throw_failed("{}: another run is writing it", folder.string());
}
PartStore::FolderLock::~FolderLock() { ::close(fd_); }

std::filesystem::path PartStore::part_path(size_t index) const { return folder_ / fmt::format("{:06}.part", index); }

void PartStore::save(size_t index, const Part& part, ByteSpan blob) const {
  const nlohmann::ordered_json json = {{"record", print_record(part.record)},
                                       {"source", hash_hex(part.source_hash)},
                                       {"sum_squares", part.sum_squares},
                                       {"sum_errors", part.sum_errors},
                                       {"notes", part.notes}};
  const std::string text = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  const uint64_t size = text.size();
  OutputFile file(part_path(index), false);
  file.write(&size, sizeof(size));
  file.write(text.data(), text.size());
  file.write(blob);
  file.commit();
}

std::optional<Part> PartStore::find(size_t index) const {
  try {
    const auto open = open_part(part_path(index));
    if (!open) return std::nullopt;
    const std::string what = open->file.path();
    const nlohmann::json json = parse_json(open->json, what);
    Part part;
    part.record = parse_record(json.at("record").get<std::string>(), what);
    part.source_hash = std::stoull(json.at("source").get<std::string>(), nullptr, 16);
    part.sum_squares = json.at("sum_squares").get<double>();
    part.sum_errors = json.at("sum_errors").get<double>();
    part.notes = json.at("notes").get<std::vector<std::string>>();
    part.blob_bytes = open->file.size() - open->blob_offset;
    if (tensor_checksum(part.record, open->file.read(open->blob_offset, part.blob_bytes)) != part.record.checksum) {
      return std::nullopt;
    }
    return part;
  } catch (const Error&) {  // the file is incomplete or not ours, so the tensor is not finished
    return std::nullopt;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

Bytes PartStore::read_blob(size_t index) const {
  const auto open = open_part(part_path(index));
  if (!open) throw_failed("{}: is gone", part_path(index).string());
  return open->file.read(open->blob_offset, open->file.size() - open->blob_offset);
}

void PartStore::remove() {
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, ec)) {
    if (is_ours(entry.path())) std::filesystem::remove(entry.path(), ec);
  }
  std::filesystem::remove(folder_, ec);
}

}  // namespace occ
