// Fit of the `rans` tables to one plane: count, choose the split, cluster the lines.
//
// Clustering (where the plane gives no table ids): lines are ordered by their own entropy and cut into K equal parts,
// then Lloyd iterations with the code length as distance: every line to the table that codes it in the fewest bits,
// every table to the counts of its lines. K tables are kept only if they save more than they and the ids cost. Cost:
// one pass over the symbols per iteration; counts are integers, so the result does not depend on the order of the
// threads.
#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "entropy/rans_model.h"

namespace occ {
namespace {

constexpr size_t kLineBlock = 64;

class Counter {
 public:
  Counter(const SymbolPlane& plane, MatrixView<const Symbol> symbols, const RansSplit& split)
      : plane_(plane), symbols_(symbols), split_(split), machine_(plane.contexts.get()) {}

  size_t contexts() const { return machine_ != nullptr ? machine_->num_contexts : 1; }
  size_t blocks() const { return ceil_div(plane_.num_lines(), kLineBlock); }

  // Calls body(block's first line, counts [lines in the block * contexts]) for all blocks, in parallel.
  template <typename Body>
  void for_each_block(const Body& body) const {
    parallel_for(blocks(), [&](size_t block) {
      const size_t line = block * kLineBlock;
      const size_t lines = std::min(kLineBlock, plane_.num_lines() - line);
      std::vector<RansCounts> counts(lines * contexts());
      if (plane_.lines == LineAxis::kRows) {
        for (size_t i = 0; i < lines; ++i) count_row(symbols_.row(line + i), &counts[i * contexts()]);
      } else {
        count_columns(line, lines, counts.data());
      }
      body(line, std::span<const RansCounts>(counts));
    });
  }

  // Counts of every cell, lines having the given ids (empty: all 0).
  std::vector<RansCounts> count_cells(std::span<const uint8_t> ids, size_t num_ids) const {
    std::vector<RansCounts> total(num_ids * contexts());
    std::mutex mutex;
    for_each_block([&](size_t line, std::span<const RansCounts> counts) {
      const std::lock_guard lock(mutex);
      for (size_t i = 0; i < counts.size(); ++i) {
        const size_t id = ids.empty() ? 0 : ids[line + i / contexts()];
        RansCounts& to = total[id * contexts() + i % contexts()];
        for (uint32_t k = 0; k < kRansIds; ++k) to[k] += counts[i][k];
      }
    });
    return total;
  }

 private:
  void count_row(const Symbol* row, RansCounts* counts) const {
    uint32_t state = 0;
    for (size_t c = 0; c < plane_.cols; ++c) {
      const uint32_t context = machine_ != nullptr ? machine_->context[state] : 0;
      ++counts[context][split_.id(uint32_t{row[c]} >> split_.shift)];
      if (machine_ != nullptr) state = machine_->next[state * machine_->classes + (row[c] & (machine_->classes - 1))];
    }
  }

  void count_columns(size_t first, size_t lines, RansCounts* counts) const {
    const size_t tile = tile_rows(plane_);
    std::array<uint16_t, kLineBlock> states{};
    for (size_t r = 0; r < plane_.rows; ++r) {
      if (r % tile == 0) states.fill(0);
      const Symbol* row = symbols_.row(r) + first;
      for (size_t i = 0; i < lines; ++i) {
        const uint32_t context = machine_ != nullptr ? machine_->context[states[i]] : 0;
        ++counts[i * contexts() + context][split_.id(uint32_t{row[i]} >> split_.shift)];
        if (machine_ != nullptr) {
          states[i] = machine_->next[uint32_t{states[i]} * machine_->classes + (row[i] & (machine_->classes - 1))];
        }
      }
    }
  }

  const SymbolPlane& plane_;
  MatrixView<const Symbol> symbols_;
  RansSplit split_;
  const FiniteState* machine_;
};

std::vector<uint64_t> histogram(MatrixView<const Symbol> symbols, uint32_t alphabet) {
  std::vector<uint64_t> counts(alphabet);
  for (size_t r = 0; r < symbols.rows(); ++r) {
    for (size_t c = 0; c < symbols.cols(); ++c) {
      OCC_CHECK(symbols(r, c) < alphabet);
      ++counts[symbols(r, c)];
    }
  }
  return counts;
}

std::vector<RansTable> fit_tables(std::span<const RansCounts> cells, const RansSplit& split) {
  const auto is_empty = [](const RansCounts& c) {
    return std::all_of(c.begin(), c.end(), [](auto n) { return n == 0; });
  };
  std::vector<RansTable> tables;
  for (const RansCounts& counts : cells) {
    if (!is_empty(counts)) {
      tables.push_back(RansTable::fit(counts, split));
    } else if (!tables.empty()) {
      tables.push_back(tables.back());  // one bit
    } else {
      RansCounts all{};
      for (const RansCounts& c : cells) {
        for (uint32_t k = 0; k < kRansIds; ++k) all[k] += c[k];
      }
      tables.push_back(RansTable::fit(all, split));
    }
  }
  return tables;
}

// Bits of all symbols under the tables, and of the side information.
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

using Costs = std::array<float, kRansIds>;

// Smoothed code lengths, so that a table without a token does not forbid it.
std::vector<Costs> smooth_costs(std::span<const RansCounts> cells, uint32_t window) {
  std::vector<Costs> costs(cells.size());
  for (size_t cell = 0; cell < cells.size(); ++cell) {
    const double total = static_cast<double>(std::accumulate(cells[cell].begin(), cells[cell].end(), uint64_t{0}));
    for (uint32_t id = 0; id < kRansIds; ++id) {
      const double p = (static_cast<double>(cells[cell][id]) + 0.1) / (total + 0.1 * (window + 1));
      costs[cell][id] = static_cast<float>(-std::log2(p));
    }
  }
  return costs;
}

double line_bits(std::span<const RansCounts> line, const Costs* costs) {
  double bits = 0;
  for (size_t k = 0; k < line.size(); ++k) {
    for (uint32_t id = 0; id < kRansIds; ++id) bits += static_cast<double>(line[k][id]) * costs[k][id];
  }
  return bits;
}

std::vector<uint8_t> cluster_lines(const Counter& counter, size_t lines, uint32_t window, size_t num_ids) {
  const size_t contexts = counter.contexts();
  // Start: order by entropy.
  std::vector<double> entropy(lines);
  counter.for_each_block([&](size_t line, std::span<const RansCounts> counts) {
    for (size_t i = 0; i < counts.size() / contexts; ++i) {
      const auto own = counts.subspan(i * contexts, contexts);
      entropy[line + i] = line_bits(own, smooth_costs(own, window).data());
    }
  });
  std::vector<size_t> order(lines);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return entropy[a] < entropy[b]; });
  std::vector<uint8_t> ids(lines);
  for (size_t i = 0; i < lines; ++i) ids[order[i]] = static_cast<uint8_t>(i * num_ids / lines);

  constexpr int kIterations = 6;
  for (int iteration = 0; iteration < kIterations; ++iteration) {
    const std::vector<Costs> costs = smooth_costs(counter.count_cells(ids, num_ids), window);
    std::vector<uint8_t> closest(lines);
    counter.for_each_block([&](size_t line, std::span<const RansCounts> counts) {
      for (size_t i = 0; i < counts.size() / contexts; ++i) {
        double best = INFINITY;
        for (size_t id = 0; id < num_ids; ++id) {
          const double bits = line_bits(counts.subspan(i * contexts, contexts), &costs[id * contexts]);
          if (bits < best) {
            best = bits;
            closest[line + i] = static_cast<uint8_t>(id);
          }
        }
      }
    });
    if (closest == ids) break;
    ids = std::move(closest);
  }
  // Number the ids that are used from 0 on.
  std::array<int, 256> used;
  used.fill(-1);
  int count = 0;
  for (uint8_t& id : ids) {
    if (used[id] < 0) used[id] = count++;
    id = static_cast<uint8_t>(used[id]);
  }
  return ids;
}

}  // namespace

RansModel fit_rans_model(const SymbolPlane& plane, MatrixView<const Symbol> symbols, uint32_t max_tables,
                         const FitContext& context) {
  OCC_CHECK(symbols.shape() == plane.shape());
  OCC_CHECK(plane.table_ids.empty() || plane.table_ids.size() == plane.num_lines());
  RansModel model;
  model.plane = plane;
  model.contexts = plane.contexts != nullptr ? plane.contexts->num_contexts : 1;
  model.split.alphabet = plane.alphabet;
  if (plane.alphabet == 1) return model;
  model.split = choose_rans_split(histogram(symbols, plane.alphabet), plane.alphabet);
  const Counter counter(plane, symbols, model.split);
  const size_t lines = plane.num_lines();

  if (!plane.table_ids.empty()) {
    model.ids = plane.table_ids;
    model.num_ids = uint32_t{*std::max_element(model.ids.begin(), model.ids.end())} + 1;
  }
  if (model.num_ids * model.contexts > kRansMaxCells) {
    throw_usage("rans, plane '{}': expected at most {} tables, found {} ids of {} contexts", plane.name, kRansMaxCells,
                model.num_ids, model.contexts);
  }
  const std::vector<RansCounts> cells = counter.count_cells(model.ids, model.num_ids);
  model.tables = fit_tables(cells, model.split);

  const size_t wanted = std::min<size_t>({max_tables, lines, kRansMaxCells / model.contexts});
  if (plane.table_ids.empty() && wanted > 1) {
    RansModel clustered = model;
    clustered.ids = cluster_lines(counter, lines, model.split.window(), wanted);
    clustered.num_ids = uint32_t{*std::max_element(clustered.ids.begin(), clustered.ids.end())} + 1;
    const std::vector<RansCounts> cluster_cells = counter.count_cells(clustered.ids, clustered.num_ids);
    clustered.tables = fit_tables(cluster_cells, model.split);
    if (clustered.num_ids > 1 && total_bits(clustered, cluster_cells) < total_bits(model, cells)) return clustered;
    context.report_fallback(
        fmt::format("rans, plane '{}': one table instead of {}, which would save nothing", plane.name, wanted));
  }
  return model;
}

}  // namespace occ
