// Fits the tables of `rans` to one plane: counts the symbols, chooses the split, and gives lines and positions ids
// where this saves bits.
//
// Besides one table for all, the candidates are (a) lines clustered by code length (Lloyd iterations that start from
// equal parts of the lines ordered by entropy), with 4, 16, ... tables as long as more tables may be better, and (b)
// classes by scale (rans_classes.cc). They are compared by the entropy of their cells and the size of their side
// information. The best one is then compared exactly with one table. Cost: one pass over the symbols for one table, one
// more with a state machine, and three more, two of them over samples, to choose ids.
#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "entropy/rans_classes.h"
#include "entropy/rans_counts.h"
#include "entropy/rans_model.h"
#include "entropy/rans_side_code.h"

namespace occ {
namespace {

constexpr size_t kMaxLineCounts = size_t{64} << 20;  // limit for the bytes of the counts of single lines
constexpr size_t kMaxTraining = 1024;                // largest number of lines from which tables are clustered

std::vector<RansTable> fit_tables(std::span<const RansCounts> cells, const RansSplit& split) {
  const auto is_empty = [](const RansCounts& c) {
    return std::all_of(c.begin(), c.end(), [](auto n) { return n == 0; });
  };
  const RansCounts* used = nullptr;
  for (const RansCounts& counts : cells) {
    if (!is_empty(counts)) {
      used = &counts;
      break;
    }
  }
  // A table without counts repeats the table before it, which takes one bit. Tables before the first one with counts
  // equal that one.
  std::vector<RansTable> tables;
  for (const RansCounts& counts : cells) {
    if (tables.empty()) {
      tables.push_back(RansTable::fit(used != nullptr ? *used : counts, split));
    } else if (&counts == used || is_empty(counts)) {
      tables.push_back(tables.back());
    } else {
      tables.push_back(RansTable::fit(counts, split));
    }
  }
  return tables;
}

std::vector<RansCounts> as_cells(std::span<const uint64_t> counts, const RansBins& bins) {
  std::vector<RansCounts> cells(counts.size() / bins.count);
  for (size_t i = 0; i < counts.size(); ++i) cells[i / bins.count][bins.id(i % bins.count)] = counts[i];
  return cells;
}

// Returns the bits of all symbols with these tables, plus those of the side information.
double total_bits(const RansModel& model, std::span<const RansCounts> cells) {
  ByteWriter side;
  save_rans_model(model, side);
  double bits = 8.0 * static_cast<double>(side.size());
  for (size_t cell = 0; cell < cells.size(); ++cell) {
    for (uint32_t id = 0; id < kRansIds; ++id) {
      if (cells[cell][id] != 0) bits += static_cast<double>(cells[cell][id]) * model.tables[cell].cost(id);
    }
  }
  return bits;
}

// Sets the tables of the model. They are symmetric if that takes fewer bits in all. Returns the bits.
double set_tables(RansModel* model, std::span<const RansCounts> cells) {
  model->tables = fit_tables(cells, model->split);
  model->mirrors.clear();
  double bits = total_bits(*model, cells);
  RansModel symmetric = *model;
  symmetric.mirrors = find_mirrors(cells, model->contexts, model->split.window());
  if (std::all_of(symmetric.mirrors.begin(), symmetric.mirrors.end(), [](auto m) { return m == 0; })) return bits;
  symmetric.tables = fit_tables(add_mirror_images(cells, symmetric.mirrors, model->split.window()), model->split);
  const double fewer = total_bits(symmetric, cells);
  if (fewer >= bits) return bits;
  *model = std::move(symmetric);
  return fewer;
}

// [kept lines][cell] counts of single lines, for every `stride`-th line.
struct LineCounts {
  size_t cell = 1;
  size_t stride = 1;
  std::vector<uint32_t> counts;

  size_t kept() const { return counts.size() / cell; }
  std::span<const uint32_t> of(size_t i) const { return {counts.data() + i * cell, cell}; }
};

double entropy_of(std::span<const uint32_t> line, size_t bins) {
  double bits = 0;
  for (size_t at = 0; at < line.size(); at += bins) {
    const auto own = line.subspan(at, bins);
    const double total = static_cast<double>(std::accumulate(own.begin(), own.end(), uint64_t{0}));
    for (const uint32_t n : own) {
      if (n != 0) bits += n * std::log2(total / n);
    }
  }
  return bits;
}

// Returns the id of the table that codes `line` with the fewest bits. costs: [cell][num_ids].
uint8_t closest(std::span<const uint32_t> line, std::span<const float> costs, size_t num_ids) {
  std::array<float, 256> bits{};
  for (size_t k = 0; k < line.size(); ++k) {
    if (line[k] == 0) continue;
    const auto n = static_cast<float>(line[k]);
    const float* of_bin = &costs[k * num_ids];
    for (size_t id = 0; id < num_ids; ++id) bits[id] += n * of_bin[id];
  }
  return static_cast<uint8_t>(std::min_element(bits.begin(), bits.begin() + static_cast<ptrdiff_t>(num_ids)) -
                              bits.begin());
}

// Clusters some of the lines. Returns the costs [cell][num_ids] of the tables.
std::vector<float> train_clusters(const LineCounts& lines, size_t bins, size_t num_ids) {
  const size_t step = ceil_div(lines.kept(), kMaxTraining);
  const size_t count = ceil_div(lines.kept(), step);
  std::vector<double> entropy(count);
  parallel_for(count, [&](size_t i) { entropy[i] = entropy_of(lines.of(i * step), bins); });
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return entropy[a] < entropy[b]; });
  std::vector<uint8_t> ids(count), before;
  for (size_t i = 0; i < count; ++i) ids[order[i]] = static_cast<uint8_t>(i * num_ids / count);
  constexpr int kIterations = 6;
  std::vector<float> costs;
  for (int iteration = 0; iteration < kIterations && ids != before; ++iteration) {
    std::vector<uint64_t> cells(num_ids * lines.cell);
    for (size_t i = 0; i < count; ++i) {
      const auto line = lines.of(i * step);
      for (size_t k = 0; k < line.size(); ++k) cells[ids[i] * lines.cell + k] += line[k];
    }
    costs = smoothed_costs(cells, lines.cell, bins);
    before = ids;
    parallel_for(count, [&](size_t i) { ids[i] = closest(lines.of(i * step), costs, num_ids); });
  }
  return costs;
}

// Renumbers the ids that are used, beginning with 0. Returns their number.
size_t renumber(std::vector<uint8_t>& ids) {
  std::array<int, 256> used;
  used.fill(-1);
  int count = 0;
  for (uint8_t& id : ids) {
    if (used[id] < 0) used[id] = count++;
    id = static_cast<uint8_t>(used[id]);
  }
  return static_cast<size_t>(count);
}

class Fit {
 public:
  Fit(const RansModel& model, MatrixView<const Symbol> symbols, std::span<const uint64_t> histogram)
      : plane_(model.plane),
        symbols_(symbols),
        histogram_(histogram),
        split_(model.split),
        bins_(RansBins::of(histogram, model.split)),
        counter_(model.plane, symbols, model.split, bins_) {}

  const RansBins& bins() const { return bins_; }

  // Returns the counts of every cell for these ids of the lines (empty: all are 0).
  std::vector<uint64_t> count_cells(std::span<const uint8_t> ids, size_t num_ids) const {
    const size_t cell = counter_.cell_size();
    std::vector<uint64_t> total(num_ids * cell);
    if (plane_.contexts == nullptr && ids.empty()) {
      for (uint32_t symbol = 0; symbol < histogram_.size(); ++symbol) {
        const uint32_t token = symbol >> split_.shift;
        total[std::min(token - split_.offset - bins_.first, bins_.count - 1)] += histogram_[symbol];
      }
      return total;
    }
    std::mutex mutex;
    counter_.for_each_block({}, 1, [&](size_t first, size_t lines, const uint32_t* counts) {
      const std::lock_guard lock(mutex);
      for (size_t i = 0; i < lines; ++i) {
        uint64_t* to = &total[(ids.empty() ? 0 : ids[first + i]) * cell];
        for (size_t k = 0; k < cell; ++k) to[k] += counts[i * cell + k];
      }
    });
    return total;
  }

  // Returns the candidate with at most `max_tables` tables that takes the fewest bits by estimate.
  RansChoice choose_ids(size_t max_tables) const {
    const size_t lines = plane_.num_lines(), cell = counter_.cell_size();
    const RansAtoms atoms = make_atoms();
    LineCounts kept;
    kept.cell = cell;
    kept.stride = ceil_div(lines * cell * sizeof(uint32_t), kMaxLineCounts);
    kept.counts.resize(ceil_div(lines, kept.stride) * cell);
    std::vector<uint64_t> pairs(atoms.num_lines * atoms.num_positions * cell);
    std::mutex mutex;
    const auto add = [&](size_t first, size_t count, const uint32_t* counts) {
      std::vector<uint32_t> line_counts(cell);
      std::vector<size_t> used;  // kept in a list, because most lines use few bins
      const std::lock_guard lock(mutex);
      for (size_t line = first; line < first + count; ++line, counts += atoms.num_positions * cell) {
        std::fill(line_counts.begin(), line_counts.end(), 0);
        for (size_t p = 0; p < atoms.num_positions; ++p) {
          for (size_t k = 0; k < cell; ++k) line_counts[k] += counts[p * cell + k];
        }
        used.clear();
        for (size_t k = 0; k < cell; ++k) {
          if (line_counts[k] != 0) used.push_back(k);
        }
        uint64_t* to = &pairs[atoms.lines[line] * atoms.num_positions * cell];
        for (size_t p = 0; p < atoms.num_positions; ++p) {
          for (const size_t k : used) to[p * cell + k] += counts[p * cell + k];
        }
        if (line % kept.stride == 0) {
          std::copy(line_counts.begin(), line_counts.end(), &kept.counts[line / kept.stride * cell]);
        }
      }
    };
    counter_.for_each_block(atoms.positions, atoms.num_positions, add);
    RansChoice best = choose_classes(atoms, pairs, cell, bins_.count, max_tables);
    double before = INFINITY;
    for (size_t tables = 4;; tables *= 4) {
      const size_t num_ids = std::min({tables, max_tables, lines});
      RansChoice clusters = cluster(kept, num_ids);
      const double bits = clusters.bits;
      if (clusters.num_ids > 1 && bits < best.bits) best = std::move(clusters);
      // The next step would save less than this step did, which is too little to give the best choice.
      if (tables >= max_tables || bits - (before - bits) > best.bits) return best;
      before = bits;
    }
  }

 private:
  RansAtoms make_atoms() const {
    const uint64_t total = std::accumulate(histogram_.begin(), histogram_.end(), uint64_t{0});
    size_t median = 0;
    for (uint64_t below = histogram_[0]; below <= total / 2; below += histogram_[median]) ++median;
    double deviation = 0;
    for (size_t s = 0; s < histogram_.size(); ++s) {
      const double distance = s < median ? static_cast<double>(median - s) : static_cast<double>(s - median);
      deviation += static_cast<double>(histogram_[s]) * distance / static_cast<double>(total);
    }
    const RansScales scales = measure_scales(symbols_, static_cast<double>(median), std::max(deviation, 1e-6));
    const bool rows = plane_.lines == LineAxis::kRows;
    return make_rans_atoms(rows ? scales.rows : scales.columns, rows ? scales.columns : scales.rows,
                           counter_.cell_size());
  }

  RansChoice cluster(const LineCounts& kept, size_t num_ids) const {
    const size_t cell = kept.cell, lines = plane_.num_lines();
    const std::vector<float> costs = train_clusters(kept, bins_.count, num_ids);
    RansChoice choice;
    choice.line_ids.resize(lines);
    if (kept.stride == 1) {
      parallel_for(lines, [&](size_t i) { choice.line_ids[i] = closest(kept.of(i), costs, num_ids); });
      choice.num_ids = renumber(choice.line_ids);
      choice.counts.resize(choice.num_ids * cell);
      for (size_t i = 0; i < lines; ++i) {
        const auto line = kept.of(i);
        for (size_t k = 0; k < cell; ++k) choice.counts[choice.line_ids[i] * cell + k] += line[k];
      }
    } else {
      counter_.for_each_block({}, 1, [&](size_t first, size_t count, const uint32_t* counts) {
        for (size_t i = 0; i < count; ++i) {
          choice.line_ids[first + i] = closest({counts + i * cell, cell}, costs, num_ids);
        }
      });
      choice.num_ids = renumber(choice.line_ids);
      choice.counts = count_cells(choice.line_ids, choice.num_ids);
    }
    choice.bits = approximate_bits(choice, cell, bins_.count);
    return choice;
  }

  const SymbolPlane& plane_;
  MatrixView<const Symbol> symbols_;
  std::span<const uint64_t> histogram_;
  RansSplit split_;
  RansBins bins_;
  RansCounter counter_;
};

}  // namespace

RansModel fit_rans_model(const SymbolPlane& plane, MatrixView<const Symbol> symbols, uint32_t max_tables) {
  OCC_CHECK(symbols.shape() == plane.shape());
  OCC_CHECK(plane.table_ids.empty() || plane.table_ids.size() == plane.num_lines());
  RansModel model;
  model.plane = plane;
  model.contexts = plane.contexts != nullptr ? plane.contexts->num_contexts : 1;
  model.split.alphabet = plane.alphabet;
  if (plane.alphabet == 1) return model;
  const std::vector<uint64_t> histogram = count_symbols(symbols, plane.alphabet);
  model.split = choose_rans_split(histogram, plane.alphabet);
  if (!plane.table_ids.empty()) {
    model.ids = plane.table_ids;
    model.num_ids = uint32_t{*std::max_element(model.ids.begin(), model.ids.end())} + 1;
  }
  if (model.num_ids * model.contexts > kRansMaxCells) {
    throw_usage("rans, plane '{}': expected at most {} tables, found {} ids of {} contexts", plane.name, kRansMaxCells,
                model.num_ids, model.contexts);
  }
  const Fit fit(model, symbols, histogram);
  const size_t wanted = std::min<size_t>(max_tables, kRansMaxCells / model.contexts);
  if (!plane.table_ids.empty() || wanted < 2 || symbols.size() == 0) {
    set_tables(&model, as_cells(fit.count_cells(model.ids, model.num_ids), fit.bins()));
    return model;
  }
  const RansChoice choice = fit.choose_ids(wanted);
  std::vector<uint64_t> all(size_t{model.contexts} * fit.bins().count);
  for (size_t i = 0; i < choice.counts.size(); ++i) all[i % all.size()] += choice.counts[i];
  const double bits = set_tables(&model, as_cells(all, fit.bins()));
  if (choice.num_ids + choice.num_cross == 2) return model;
  RansModel many = model;
  many.ids = choice.line_ids;
  many.num_ids = static_cast<uint32_t>(choice.num_ids);
  many.cross_ids = choice.cross_ids;
  many.num_cross = static_cast<uint32_t>(choice.num_cross);
  return set_tables(&many, as_cells(choice.counts, fit.bins())) < bits ? many : model;
}

}  // namespace occ
