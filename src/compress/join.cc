#include "compress/join.h"

#include <algorithm>
#include <unordered_map>

#include "base/file.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "container/archive_file.h"
#include "container/zstd_bytes.h"
#include "metrics/limits.h"

namespace occ {
namespace {

constexpr size_t kAtOnce = 4;  // number of parts in memory at the same time

// Returns the layout of a file with these tensors and the index. `packed` is the compressed index.
std::vector<OutTensor> with_index(std::vector<OutTensor> tensors, ByteSpan packed) {
  tensors.push_back({kIndexTensor, DType::kU8, {packed.size()}});
  return tensors;
}

// Returns a random number in place of one that is not known yet, because both compress equally badly.
uint64_t placeholder(const std::string& name, uint64_t number) { return hash64(fmt::format("{} {}", name, number)); }

}  // namespace

std::string tool_name() { return "occ " OCC_VERSION; }

Join::Join(const TensorFile& source, const FitContexts& contexts, uint64_t seed)
    : source_(source), contexts_(contexts), seed_(seed) {
  for (const SideFile& f : source.side_files()) {
    std::string text(f.bytes.begin(), f.bytes.end());
    std::optional<MergesText> merges = take_merges(&text);
    Bytes packed = zstd_compressed({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    files_.push_back({f.name, text.size(), hash64(packed), std::move(merges)});
    file_bytes_.push_back(std::move(packed));
  }
}

// Returns a record for a tensor that is not coded yet. Its numbers have about as many digits as the real ones.
TensorRecord Join::expected_record(const PlannedTensor& t) const {
  const TensorInfo& tensor = source_.tensors()[t.index];
  TensorRecord r;
  r.name = tensor.name, r.shape = tensor.shape, r.dtype = tensor.dtype;
  r.nmse = 0.0123456;
  if (t.recipe.empty() || !contexts_.has_moments(t)) return r;
  r.weighted_error = r.nmse;
  // Like a real profile, each value is a few units above the one before it.
  const auto profile = [&](size_t size, uint64_t salt) {
    std::vector<uint8_t> out(size, 0x80);
    for (size_t i = 1; i < size; ++i) {
      out[i] = static_cast<uint8_t>(out[i - 1] + placeholder(tensor.name, salt + i) % 4);
    }
    return out;
  };
  r.eigenvalues = profile(std::min(t.shape.cols, kProfileSize), 0);
  if (t.calibrated) r.row_energies = profile(std::min(t.shape.rows, kProfileSize), kProfileSize);
  return r;
}

// The order in the file: blobs, which are multiples of 64 bytes so that all of them are aligned; kept tensors by
// decreasing element size; side files.
std::pair<std::vector<OutTensor>, ArchiveIndex> Join::layout(const std::vector<PlannedTensor>& plan, const Parts& parts,
                                                             const std::vector<uint64_t>& blob_bytes) const {
  ArchiveIndex index;
  index.tool = tool_name();
  index.seed = seed_;
  index.source_format = source_.format();
  index.files = files_;
  std::vector<OutTensor> blobs, kept;
  std::vector<uint64_t> source_hashes;
  for (size_t k = 0; k < plan.size(); ++k) {
    const TensorInfo& t = source_.tensors()[plan[k].index];
    const std::optional<Part>& part = parts[plan[k].index];
    const bool same = part && part->record.recipe == plan[k].recipe;
    // The record of another recipe for the same tensor has about the same length.
    const bool similar = part && part->record.coded() && !plan[k].recipe.empty();
    TensorRecord r = same || similar ? part->record : expected_record(plan[k]);
    r.recipe = plan[k].recipe;
    source_hashes.push_back(part ? part->source_hash : 0);
    (r.coded() ? blobs : kept)
        .push_back(r.coded() ? OutTensor{t.name, DType::kU8, {blob_bytes[k]}}
                             : OutTensor{t.name, r.stored.value_or(t.dtype), t.shape});
    index.tensors.push_back(std::move(r));
  }
  index.source_hash = hash_of_chunks(source_hashes);
  std::stable_sort(kept.begin(), kept.end(),
                   [](const OutTensor& a, const OutTensor& b) { return dtype_size(a.dtype) > dtype_size(b.dtype); });
  blobs.insert(blobs.end(), kept.begin(), kept.end());
  for (size_t f = 0; f < files_.size(); ++f) {
    blobs.push_back({kSideFilePrefix + files_[f].name, DType::kU8, {file_bytes_[f].size()}});
  }
  return {std::move(blobs), std::move(index)};
}

uint64_t Join::side_file_bytes() const {
  uint64_t sum = 0;
  for (const Bytes& bytes : file_bytes_) sum += bytes.size();
  return sum;
}

uint64_t Join::file_bytes(const std::vector<PlannedTensor>& plan, const Parts& parts,
                          const std::vector<uint64_t>& blob_bytes) const {
  const auto [tensors, index] = layout(plan, parts, blob_bytes);
  const Bytes packed = pack_index(index);
  return safetensors_file_bytes(with_index(tensors, packed), index_metadata(packed));
}

uint64_t Join::write(const std::filesystem::path& output, const std::vector<PlannedTensor>& plan, const Parts& parts,
                     const std::function<Bytes(size_t i)>& read, const CompressOptions& options, Meter* meter,
                     const AcceptArchive& accept) const {
  std::vector<uint64_t> blob_bytes;
  std::unordered_map<std::string, size_t> places;
  uint64_t decoded_bytes = 0;
  for (const PlannedTensor& t : plan) {
    blob_bytes.push_back(parts[t.index]->blob_bytes);
    places[source_.tensors()[t.index].name] = t.index;
    decoded_bytes += t.shape.size() * sizeof(float);
  }
  const std::pair<std::vector<OutTensor>, ArchiveIndex> file = layout(plan, parts, blob_bytes);
  const Bytes packed = pack_index(file.second);
  const std::vector<OutTensor> tensors = with_index(file.first, packed);
  const std::map<std::string, std::string> meta = index_metadata(packed);
  require_free_space(output, safetensors_file_bytes(tensors, meta));
  SafetensorsWriter writer(output, tensors, meta, options.sync);
  meter->start("write", writer.file_bytes());
  for (size_t first = 0; first < plan.size(); first += kAtOnce) {
    parallel_for(std::min(kAtOnce, plan.size() - first), [&](size_t k) {
      const Bytes data = read(places.at(tensors[first + k].name));
      writer.write_tensor(first + k, data);
      meter->add(data.size());
    });
  }
  for (size_t f = 0; f < file_bytes_.size(); ++f) {
    writer.write_tensor(plan.size() + f, file_bytes_[f]);
    meter->add(file_bytes_[f].size());
  }
  writer.write_tensor(tensors.size() - 1, packed);
  if (options.verify) {
    meter->start("verify", decoded_bytes);
    ArchiveFile(writer.temporary_path()).verify([&](uint64_t bytes) { meter->add(bytes); });
  }
  if (!accept || accept(writer.temporary_path())) writer.commit();
  return writer.file_bytes();
}

}  // namespace occ
