#include "io/npz.h"

#include <zip.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "io/elements.h"
#include "io/json.h"

namespace occ {
namespace {

// A byte of a deflate stream gives at most this many bytes. An entry that claims a larger size is refused before memory
// is allocated for it.
constexpr uint64_t kMostDeflateRatio = 1032;

std::string message_of(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string out = zip_error_strerror(&error);
  zip_error_fini(&error);
  return out;
}

}  // namespace

NpzFile::NpzFile(const std::filesystem::path& path) : path_(path.string()), archive_(nullptr, zip_discard) {
  file_bytes_ = InputFile(path).size();
  int code = 0;
  archive_.reset(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (!archive_) throw_input("{}: expected a zip archive of npy files: {}", path_, message_of(code));
  const zip_int64_t count = zip_get_num_entries(archive_.get(), 0);
  std::unordered_set<std::string> names;
  for (zip_int64_t k = 0; k < count; ++k) {
    add_entry(static_cast<uint64_t>(k));
    if (!names.insert(tensors_.back().name).second) {
      throw_input("{}: expected distinct names, found '{}' twice", path_, printable(tensors_.back().name, 255));
    }
  }
}

NpzFile::~NpzFile() = default;

void NpzFile::add_entry(uint64_t index) {
  constexpr uint64_t kNeeded = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
  zip_stat_t stat;
  if (zip_stat_index(archive_.get(), index, 0, &stat) != 0 || (stat.valid & kNeeded) != kNeeded) {
    throw_input("{}: entry {} of the zip archive cannot be read: {}", path_, index, zip_strerror(archive_.get()));
  }
  const std::string name = stat.name, shown = printable(name, 255);
  if (!name.ends_with(".npy")) throw_input("{}: expected arrays (*.npy) only, found '{}'", path_, shown);
  const bool encrypted = (stat.valid & ZIP_STAT_ENCRYPTION_METHOD) != 0 && stat.encryption_method != ZIP_EM_NONE;
  const bool stored = stat.comp_method == ZIP_CM_STORE;
  if (encrypted || (!stored && stat.comp_method != ZIP_CM_DEFLATE)) {
    throw_input("{}: expected a stored or deflated array, found {}", where(shown),
                encrypted ? std::string("an encrypted one") : fmt::format("zip method {}", stat.comp_method));
  }
  if (stat.comp_size > file_bytes_ ||
      (stored ? stat.size != stat.comp_size : stat.size / kMostDeflateRatio > stat.comp_size)) {
    throw_input("{}: expected at most {} compressed bytes and a size that they can have, found {} and {}", where(shown),
                file_bytes_, stat.comp_size, stat.size);
  }
  Entry entry{index, stat.size, {}};
  entry.start =
      parse_npy_start(inflate(index, std::min(stat.size, kMostNpyStart), stat.size, where(shown)), where(shown));
  TensorInfo info = npy_tensor(entry.start.header, name.substr(0, name.size() - 4), stat.size - entry.start.data_offset,
                               where(shown));
  info.stored_bytes = stat.comp_size;
  tensors_.push_back(std::move(info));
  entries_.push_back(std::move(entry));
}

Bytes NpzFile::inflate(uint64_t index, uint64_t count, uint64_t all, const std::string& what) const {
  const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(zip_fopen_index(archive_.get(), index, 0), zip_fclose);
  if (!file) throw_input("{}: cannot be read: {}", what, zip_strerror(archive_.get()));
  Bytes out(count);
  zip_int64_t got = 1;
  for (uint64_t done = 0; done < count && got > 0; done += static_cast<uint64_t>(std::max<zip_int64_t>(got, 0))) {
    got = zip_fread(file.get(), out.data() + done, count - done);
  }
  uint8_t more = 0;
  if (got > 0 && count == all) got = zip_fread(file.get(), &more, 1) == 0 ? 1 : -1;  // compares the checksum
  if (got <= 0)
    throw_input("{}: expected {} bytes that match their checksum: {}", what, all, zip_file_strerror(file.get()));
  return out;
}

std::shared_ptr<const Bytes> NpzFile::array(size_t i) const {
  const std::lock_guard lock(mutex_);
  if (last_ && last_index_ == i) return last_;
  last_.reset();
  const Entry& entry = entries_[i];
  const TensorInfo& info = tensors_[i];
  Bytes bytes = inflate(entry.index, entry.bytes, entry.bytes, where(info.name));
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(entry.start.data_offset));
  if (entry.start.header.fortran_order && !bytes.empty() && info.shape.size() > 1) {
    Bytes c_order(bytes.size());
    gather_fortran(info, bytes.data(), 0, info.elements(), c_order.data());
    bytes = std::move(c_order);
  }
  last_index_ = i;
  last_ = std::make_shared<const Bytes>(std::move(bytes));
  return last_;
}

void NpzFile::read_f32(size_t i, uint64_t first, uint64_t count, float* out) const {
  check_range(tensors_[i], first, count);
  const DType dtype = tensors_[i].dtype;
  convert_to_f32(dtype, array(i)->data() + first * dtype_size(dtype), out, count);
}

void NpzFile::read_raw(size_t i, uint64_t first, uint64_t count, void* out) const {
  check_range(tensors_[i], first, count);
  const uint64_t size = dtype_size(tensors_[i].dtype);
  if (count != 0) std::memcpy(out, array(i)->data() + first * size, count * size);
}

}  // namespace occ
