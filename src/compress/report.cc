#include "compress/report.h"

#include <algorithm>
#include <filesystem>

#include "metrics/limits.h"

namespace occ {
namespace {

TensorReport report_tensor(const TensorInfo& in, const PlannedTensor& t, const Part* part) {
  TensorReport r{in.name, in.shape, std::string(dtype_name(in.dtype)), in.stored_type, t.recipe, t.note, "", 0, 0};
  r.elements = in.elements();
  r.choice = t.coordinates.why;
  if (t.continuous()) r.sensitivity = t.sensitivity;
  if (part != nullptr && !t.kept()) {
    r.nmse = part->record.nmse;
    r.weighted_error = part->record.weighted_error;
    if (r.weighted_error) {
      r.limit_bpw = weighted_rate(*r.weighted_error, part->record.eigenvalues, part->record.row_energies);
    } else if (r.nmse > 0) {
      r.limit_bpw = gaussian_rate(r.nmse);
    }
    for (const std::string& note : part->notes) r.note += (r.note.empty() ? "" : "; ") + note;
  }
  if (t.kept() && !in.stored_type.empty()) r.note += fmt::format(", {} converted to {}", in.stored_type, r.dtype);
  return r;
}

// Notes files of the folder that the archive does not contain. It has the weights and the files that belong to a model.
void note_files_left_behind(const TensorFile& source, const std::vector<FileRecord>& stored,
                            std::vector<std::string>* notes) {
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(source.path())) {
    const std::string name = entry.path().filename().string();
    const bool is_stored = std::any_of(stored.begin(), stored.end(),
                                       [&](const FileRecord& f) { return f.name.substr(0, f.name.find('/')) == name; });
    if (!is_stored && name[0] != '.' && !name.ends_with(".safetensors") && !name.ends_with(".index.json"))
      left.push_back(name);
  }
  if (left.empty()) return;
  std::sort(left.begin(), left.end());
  notes->push_back(fmt::format("not stored: {}", fmt::join(left, ", ")));
}

void note_kept(const TensorFile& source, const std::vector<TensorReport>& tensors, std::vector<std::string>* notes) {
  size_t kept = 0, converted = 0, reals = 0;
  for (const TensorReport& t : tensors) {
    kept += t.recipe.empty();
    const std::optional<DType> stored = parse_dtype(t.stored_type);
    reals += stored && !is_float(*stored);
    converted += !t.stored_type.empty() && !stored && source.format() != "occ";
  }
  if (kept > 0) notes->push_back(fmt::format("{} of {} tensors are kept as they are", kept, tensors.size()));
  if (converted > 0) {
    notes->push_back(fmt::format("{} tensors were quantized in the input and are dequantized first", converted));
  }
  if (reals > 0) {
    notes->push_back(fmt::format(
        "{} tensors of integers are coded as reals and decode to F32; asked to keep them, they stay exact", reals));
  }
  if (source.format() == "occ") {
    notes->push_back("the input is an archive: errors are measured against its decoded values");
  }
}

}  // namespace

double total_nmse(const Parts& parts) {
  double errors = 0, squares = 0;
  for (const std::optional<Part>& part : parts) {
    if (!part) continue;
    errors += part->sum_errors;
    squares += part->sum_squares;
  }
  return squares > 0 ? errors / squares : 0;
}

CompressReport make_report(const TensorFile& source, const std::vector<PlannedTensor>& plan, const Parts& parts,
                           const std::vector<FileRecord>& stored, const std::vector<std::string>& notes,
                           const std::function<uint64_t(size_t k)>& predicted) {
  CompressReport out;
  out.input_bytes = source.file_bytes();
  for (size_t k = 0; k < plan.size(); ++k) {
    const PlannedTensor& t = plan[k];
    const TensorInfo& in = source.tensors()[t.index];
    const Part* part = parts[t.index] ? &*parts[t.index] : nullptr;
    TensorReport r = report_tensor(in, t, part);
    const DType kept_as = part != nullptr ? part->record.stored.value_or(in.dtype) : in.dtype;
    r.bytes = t.kept() ? in.elements() * dtype_size(kept_as) : part != nullptr ? part->blob_bytes : predicted(k);
    for (size_t n = 0; part != nullptr && !t.kept() && n < part->notes.size(); ++n) {
      out.notes.push_back(in.name + ": " + part->notes[n]);
    }
    out.elements += r.elements;
    out.tensors.push_back(std::move(r));
  }
  out.notes.insert(out.notes.end(), notes.begin(), notes.end());
  const std::vector<std::string> odd = source.notes();
  out.notes.insert(out.notes.end(), odd.begin(), odd.end());
  out.nmse = total_nmse(parts);
  note_kept(source, out.tensors, &out.notes);
  if (source.format() == "hf") note_files_left_behind(source, stored, &out.notes);
  return out;
}

}  // namespace occ
