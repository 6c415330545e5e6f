#include "container/archive_file.h"

#include <algorithm>
#include <cfloat>
#include <unordered_map>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "container/blob.h"
#include "container/zstd_bytes.h"
#include "io/hf.h"
#include "io/open.h"

namespace occ {
namespace {

constexpr size_t kRecentTensors = 2;
// The most chunks of a tensor (see values_hash.h) of which only some rows have been decoded. There are such chunks
// because threads decode panels side by side and a chunk may lie across the border of two panels. The limit keeps the
// memory small when a caller reads single rows at many places.
constexpr size_t kMostParts = 256;
// The most bytes of decoded tiles that are kept of a tensor.
constexpr size_t kMostTileBytes = size_t{64} << 20;
constexpr uint64_t kMaxSideFile = uint64_t{1} << 30;

// Computes the hash64 of bytes that come in pieces.
class Hash64 {
 public:
  Hash64() : state_(XXH64_createState(), XXH64_freeState) {
    if (state_ == nullptr) throw std::bad_alloc();
    XXH64_reset(state_.get(), 0);
  }
  void add(ByteSpan bytes) { XXH64_update(state_.get(), bytes.data(), bytes.size()); }
  uint64_t value() const { return XXH64_digest(state_.get()); }

 private:
  std::unique_ptr<XXH64_state_t, XXH_errorcode (*)(XXH64_state_t*)> state_;
};

SafetensorsFile open_container(const std::filesystem::path& path) {
  try {
    return SafetensorsFile(path);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kInput) throw;
    throw_input("{} (a .occ archive is a safetensors file)", e.what());
  }
}

ArchiveIndex read_index(const SafetensorsFile& file) {
  const auto& metadata = file.metadata();
  const auto index = metadata.find(kIndexKey);
  const auto check = metadata.find(kCheckKey);
  if (index == metadata.end() || check == metadata.end()) {
    throw_input("{}: expected an archive, found a safetensors file without a valid '{}' key", file.path(), kIndexKey);
  }
  if (hash_hex(hash64(std::string_view(index->second))) != check->second) {
    throw_input("{}: the archive index is corrupt, expected xxh64 {}, found {}", file.path(), check->second,
                hash_hex(hash64(std::string_view(index->second))));
  }
  const std::optional<uint64_t> hash = packed_index_hash(index->second, file.path());
  if (!hash) return parse_index(index->second, file.path());
  const size_t i = file.find(kIndexTensor);
  if (i == file.tensors().size() || file.tensors()[i].dtype != DType::kU8) {
    throw_input("{}: expected a U8 tensor '{}', found none", file.path(), kIndexTensor);
  }
  const Bytes packed = file.read_stored(i);
  if (hash64(packed) != *hash) {
    throw_input("{}: the archive index is corrupt, expected xxh64 {}, found {}", file.path(), hash_hex(*hash),
                hash_hex(hash64(packed)));
  }
  return unpack_index(packed, file.path());
}

// Runs body. An error in it is taken as damage of the file (also a recipe that this version does not know) and becomes
// an input error that begins with `where`. Errors of kind kFailed are passed on unchanged.
void as_input_error(const std::string& where, const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    const std::string text = e.what();
    if (e.kind() == ErrorKind::kFailed || (e.kind() == ErrorKind::kInput && text.starts_with(where))) throw;
    throw_input("{}: {}", where, text);
  } catch (const std::bad_alloc&) {
    throw_input("{}: asks for more memory than there is", where);
  }
}

// The number of rows that should be read together so that nothing is decoded twice. It is 1 for a recipe that decodes a
// tensor only as a whole, because the decoded values are then kept and any of their rows can be read.
size_t rows_per_decode(const BoundRecipe& recipe) { return recipe.granule().rows == 0 ? 1 : recipe.tile_rows(); }

}  // namespace

ArchiveFile::ArchiveFile(const std::filesystem::path& path) : file_(open_container(path)), index_(read_index(file_)) {
  std::unordered_map<std::string, size_t> by_name;
  for (size_t i = 0; i < file_.tensors().size(); ++i) by_name[file_.tensors()[i].name] = i;
  if (index_.version != 0) by_name.erase(kIndexTensor);
  if (by_name.size() != index_.tensors.size() + index_.files.size()) {
    throw_input("{}: expected {} tensors as in its index, found {}", this->path(),
                index_.tensors.size() + index_.files.size(), by_name.size());
  }
  for (const TensorRecord& r : index_.tensors) {
    const auto it = by_name.find(r.name);
    if (it == by_name.end()) throw_input("{}: expected tensor '{}' as in its index, found none", this->path(), r.name);
    const TensorInfo& info = file_.tensors()[it->second];
    const bool fits = r.coded() ? info.dtype == DType::kU8 && info.shape.size() == 1
                                : info.dtype == r.stored.value_or(r.dtype) && info.shape == r.shape;
    if (!fits || !info.stored_type.empty()) {  // an archive holds no floats of 4 or 8 bits
      throw_input("{}: tensor '{}': type or shape differ from the archive index", this->path(), r.name);
    }
    stored_index_.push_back(it->second);
    TensorInfo out;
    out.name = r.name;
    out.shape = r.shape;
    out.dtype = r.dtype;
    out.stored_type = r.recipe;
    out.stored_bytes = info.stored_bytes;
    infos_.push_back(std::move(out));
    // Nothing of such a tensor is ever decoded, so there would be no other moment to compare it.
    if (r.coded() && infos_.back().elements() == 0) check_hash(infos_.size() - 1, hash_of_chunks({}));
    checks_.emplace_back(matrix_shape(r.shape), std::max(kMostParts, 4 * max_threads()));
    by_name.erase(it);
  }
  for (const FileRecord& f : index_.files) {
    check_side_file_name(f.name, this->path());
    if (by_name.erase(kSideFilePrefix + f.name) == 0) {
      throw_input("{}: expected file '{}' as in its index, found none", this->path(), f.name);
    }
  }
}

Bytes ArchiveFile::read_stored(size_t i) const { return file_.read_stored(stored_index_[i]); }

Bytes ArchiveFile::checked_blob(size_t i) const {
  Bytes blob = read_stored(i);
  if (tensor_checksum(record(i), blob) != record(i).checksum) {
    throw_input("{}: its bytes do not match their checksum", where(i));
  }
  return blob;
}

// Reads the tensor in pieces, because kept tensors may be large.
void ArchiveFile::check_kept(size_t i) const {
  const TensorInfo& info = stored(i);
  const size_t size = dtype_size(info.dtype);
  const uint64_t step = (size_t{1} << 18) / size;
  Bytes piece(std::min(step, info.elements()) * size);
  Hash64 hash;
  for (uint64_t first = 0; first < info.elements(); first += step) {
    const uint64_t count = std::min(step, info.elements() - first);
    file_.read_raw(stored_index_[i], first, count, piece.data());
    hash.add(ByteSpan(piece).first(count * size));
  }
  if (tensor_checksum(record(i), hash.value()) != record(i).checksum) {
    throw_input("{}: its bytes do not match their checksum", where(i));
  }
}

std::shared_ptr<ArchiveFile::Loaded> ArchiveFile::load(size_t i) const {
  const std::lock_guard lock(mutex_);
  const auto it =
      std::find_if(recent_.begin(), recent_.end(), [&](const std::shared_ptr<Loaded>& l) { return l->tensor == i; });
  if (it != recent_.end()) {
    recent_.splice(recent_.begin(), recent_, it);
    return recent_.front();
  }
  // The threads that still read a tensor hold their own pointers to it. A matrix that was decoded as a whole is too
  // large to keep while the next tensor is loaded.
  recent_.remove_if([](const std::shared_ptr<Loaded>& l) { return l->coded.recipe->granule().rows == 0; });
  while (recent_.size() >= kRecentTensors) recent_.pop_back();
  auto loaded = std::make_shared<Loaded>();
  loaded->tensor = i;
  run_isolated([&] { loaded->coded = open_coded(i); });  // the lock is held
  const Shape shape = loaded->coded.recipe->shape();
  if (loaded->coded.recipe->granule().rows != 0 && shape.size() <= kMostTileBytes / sizeof(float)) {
    loaded->tiles.resize(ceil_div(shape.rows, rows_per_decode(*loaded->coded.recipe)));
  }
  recent_.push_front(loaded);
  return loaded;
}

ArchiveFile::Coded ArchiveFile::open_coded(size_t i) const {
  const TensorRecord& r = record(i);
  OCC_CHECK(r.coded());
  Coded coded;
  coded.blob = std::make_shared<const Bytes>(checked_blob(i));
  PlaneReader planes(unpack_blob(*coded.blob, where(i)), where(i));
  as_fault_of(i, [&] { coded.recipe = load_recipe(Recipe::parse(r.recipe), matrix_shape(r.shape), planes); });
  planes.expect_done();
  return coded;
}

void ArchiveFile::as_fault_of(size_t i, const std::function<void()>& body) const { as_input_error(where(i), body); }

void ArchiveFile::check_hash(size_t i, uint64_t decoded_hash) const {
  if (decoded_hash == record(i).decoded_hash) return;
  throw_input("{}: decodes to other values than the encoder's, expected hash {}, found {}", where(i),
              hash_hex(record(i).decoded_hash), hash_hex(decoded_hash));
}

void ArchiveFile::check_decoded(size_t i, size_t row, MatrixView<const float> values) const {
  if (const std::optional<uint64_t> hash = checks_[i].decoded.add(row, values)) check_hash(i, *hash);
}

void ArchiveFile::read_rows(Loaded& loaded, size_t row, MatrixView<float> out) const {
  const Shape shape = loaded.coded.recipe->shape();
  const size_t unit = rows_per_decode(*loaded.coded.recipe), number = row / unit, first = number * unit;
  const size_t rows = std::min(unit, shape.rows - first);
  if (!loaded.tiles.empty() && out.rows() < rows && row + out.rows() <= first + rows) {
    Tile& tile = loaded.tiles[number];
    std::call_once(tile.once, [&] {
      Matrix<float> values = Matrix<float>::uninitialized(rows, shape.cols);
      run_isolated([&] { as_input_error(where(loaded.tensor), [&] { decode_rows(loaded, first, values.view()); }); });
      check_decoded(loaded.tensor, first, values.view());
      tile.rows = std::move(values);
    });
    std::copy_n(tile.rows.row(row - first), out.size(), out.data());
    return;
  }
  as_input_error(where(loaded.tensor), [&] { decode_rows(loaded, row, out); });
  check_decoded(loaded.tensor, row, out);
}

void ArchiveFile::decode_rows(Loaded& loaded, size_t row, MatrixView<float> out) {
  if (out.rows() == 0 || out.cols() == 0) return;
  const BoundRecipe& recipe = *loaded.coded.recipe;
  const Granule granule = recipe.granule();
  if (granule.rows == 1) {
    recipe.dequantize({row, 0, out.rows(), out.cols()}, out);
    return;
  }
  if (granule.rows > 1) {  // whole granules around the rows
    const size_t first = row / granule.rows * granule.rows;
    const size_t end = std::min(ceil_div(row + out.rows(), granule.rows) * granule.rows, recipe.shape().rows);
    Matrix<float> rows = Matrix<float>::uninitialized(end - first, out.cols());
    recipe.dequantize({first, 0, end - first, out.cols()}, rows.view());
    std::copy_n(rows.row(row - first), out.size(), out.data());
    return;
  }
  std::call_once(loaded.decoded_once, [&] {
    const Shape shape = recipe.shape();
    Matrix<float> decoded = Matrix<float>::uninitialized(shape.rows, shape.cols);
    run_isolated([&] { recipe.dequantize({0, 0, shape.rows, shape.cols}, decoded.view()); });
    loaded.decoded = std::move(decoded);
  });
  std::copy_n(loaded.decoded.row(row), out.size(), out.data());
}

void ArchiveFile::read_f32(size_t i, uint64_t first, uint64_t count, float* out) const {
  if (!record(i).coded()) {
    std::call_once(checks_[i].kept, [&] { check_kept(i); });
    return file_.read_f32(stored_index_[i], first, count, out);
  }
  const Shape shape = matrix_shape(record(i).shape);
  OCC_CHECK(first <= shape.size() && count <= shape.size() - first);
  if (count == 0) return;
  const std::shared_ptr<Loaded> loaded = load(i);
  const size_t row = first / shape.cols;
  const size_t rows = ceil_div(first + count, shape.cols) - row;
  if (first % shape.cols == 0 && count % shape.cols == 0) {
    return read_rows(*loaded, row, {out, rows, shape.cols});
  }
  Matrix<float> whole_rows = Matrix<float>::uninitialized(rows, shape.cols);
  read_rows(*loaded, row, whole_rows.view());
  std::copy_n(whole_rows.data() + (first - row * shape.cols), count, out);
}

void ArchiveFile::read_raw(size_t i, uint64_t first, uint64_t count, void* out) const {
  const DType dtype = record(i).dtype;
  if (!record(i).coded()) {
    std::call_once(checks_[i].kept, [&] { check_kept(i); });
    if (!record(i).stored) return file_.read_raw(stored_index_[i], first, count, out);
    std::vector<float> values(count);
    file_.read_f32(stored_index_[i], first, count, values.data());
    return convert_from_f32(dtype, values.data(), out, count);
  }
  if (dtype == DType::kF32) return read_f32(i, first, count, static_cast<float*>(out));
  std::vector<float> values(count);
  read_f32(i, first, count, values.data());
  // The values of the source were in the range of the type, but the error of a decoded value may have carried it beyond
  // this range.
  const float limit = dtype == DType::kF16 ? 65504.0f : dtype == DType::kBF16 ? 0x1.fep127f : FLT_MAX;
  for (float& v : values) v = std::clamp(v, -limit, limit);
  convert_from_f32(dtype, values.data(), out, count);
}

size_t ArchiveFile::read_granularity(size_t i) const {
  if (!record(i).coded() || infos_[i].elements() == 0) return 1;
  return rows_per_decode(*load(i)->coded.recipe);
}

uint64_t ArchiveFile::side_file_bytes() const {
  uint64_t bytes = 0;
  for (const FileRecord& f : index_.files) bytes += file_.tensors()[file_.find(kSideFilePrefix + f.name)].stored_bytes;
  return bytes;
}

std::vector<SideFile> ArchiveFile::side_files() const {
  std::vector<SideFile> files;
  uint64_t total = 0;
  for (const FileRecord& f : index_.files) {
    const std::string where = path() + ": file '" + f.name + "'";
    const size_t i = file_.find(kSideFilePrefix + f.name);
    const Bytes packed = file_.read_stored(i);
    if (hash64(packed) != f.checksum) throw_input("{}: its bytes do not match their checksum", where);
    total += std::min(f.bytes, kMaxSideFile + 1);
    if (total > kMaxSideFile) throw_input("{}: expected at most {} bytes of files, found more", where, kMaxSideFile);
    SideFile file{f.name, zstd_decompressed(packed, f.bytes, where)};
    if (f.merges) {
      const std::string text =
          with_merges({reinterpret_cast<const char*>(file.bytes.data()), file.bytes.size()}, *f.merges,
                      kMaxSideFile - std::min(total, kMaxSideFile) + file.bytes.size(), where);
      total += text.size() - std::min<uint64_t>(text.size(), f.bytes);
      file.bytes.assign(text.begin(), text.end());
    }
    files.push_back(std::move(file));
  }
  return files;
}

std::vector<std::pair<std::string, uint64_t>> ArchiveFile::planes(size_t i) const {
  const Bytes blob = checked_blob(i);
  const std::vector<ByteSpan> spans = unpack_blob(blob, where(i));
  std::vector<std::string> names;
  as_input_error(where(i), [&] { names = plane_names(Recipe::parse(record(i).recipe)); });
  if (names.size() != spans.size()) {
    throw_input("{}: expected {} planes, found {}", where(i), names.size(), spans.size());
  }
  std::vector<std::pair<std::string, uint64_t>> out;
  for (size_t p = 0; p < names.size(); ++p) out.emplace_back(names[p], spans[p].size());
  return out;
}

void ArchiveFile::verify_tensor(size_t i, const std::function<void(uint64_t)>& progress) const {
  if (!record(i).coded()) {
    check_kept(i);
    if (progress) progress(infos_[i].elements() * sizeof(float));
    return;
  }
  const std::shared_ptr<Loaded> loaded = load(i);  // checks the checksum
  const Shape shape = loaded->coded.recipe->shape();
  if (shape.size() == 0) return check_hash(i, hash_of_chunks({}));
  ValuesHash values_hash(shape, shape.rows);
  const size_t unit = rows_per_decode(*loaded->coded.recipe);
  const size_t panel = ceil_div(chunk_rows(shape.cols), unit) * unit;
  parallel_for(ceil_div(shape.rows, panel), [&](size_t p) {
    const size_t row = p * panel;
    Matrix<float> values = Matrix<float>::uninitialized(std::min(panel, shape.rows - row), shape.cols);
    as_input_error(where(i), [&] { decode_rows(*loaded, row, values.view()); });
    if (const std::optional<uint64_t> hash = values_hash.add(row, values.view())) check_hash(i, *hash);
    if (progress) progress(values.size() * sizeof(float));
  });
}

void ArchiveFile::verify(const std::function<void(uint64_t)>& progress) const {
  for (size_t i = 0; i < infos_.size(); ++i) verify_tensor(i, progress);
  side_files();
}

std::unique_ptr<TensorFile> open_any(const std::filesystem::path& path) {
  if (path.extension() == ".occ") return std::make_unique<ArchiveFile>(path);
  std::unique_ptr<TensorFile> file = open_tensor_file(path);
  const auto* plain = dynamic_cast<const SafetensorsFile*>(file.get());
  if (plain != nullptr && plain->metadata().contains(kIndexKey)) return std::make_unique<ArchiveFile>(path);
  return file;
}

}  // namespace occ
