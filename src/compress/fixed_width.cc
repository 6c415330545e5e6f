#include "compress/fixed_width.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/option_name.h"

namespace occ {
namespace {

// Sets recipes with `bits` everywhere and one more bit in the first `fraction` of the rows of each tensor.
void set_recipes(std::vector<PlannedTensor>& plan, int bits, double fraction) {
  for (PlannedTensor& t : plan) {
    if (!t.method || t.continuous()) continue;
    const auto head = static_cast<size_t>(std::floor(fraction * static_cast<double>(t.shape.rows)));
    t.budget = bits + static_cast<double>(head) / static_cast<double>(std::max<size_t>(1, t.shape.rows));
    Recipe recipe = t.method->split_recipe(bits, head, t.shape.rows);
    recipe.set_seed(t.seed);
    t.recipe = recipe.print();
  }
}

}  // namespace

CodeWidths common_widths(const std::vector<PlannedTensor>& plan) {
  CodeWidths widths;
  for (const PlannedTensor& t : plan) {
    if (!t.method || t.continuous()) continue;
    widths.least = std::max(widths.least, t.method->entry->min_bits);
    widths.most = std::min(widths.most, t.method->entry->max_bits);
  }
  if (widths.least > widths.most) throw_usage("the methods asked for have no code width in common");
  return widths;
}

void set_width(std::vector<PlannedTensor>& plan, double bits) {
  for (const PlannedTensor& t : plan) {
    if (!t.method || t.continuous()) continue;
    const MethodEntry& m = *t.method->entry;
    if ((bits != std::floor(bits) && m.recipe_of_budget == nullptr) || bits < m.min_bits || bits > m.max_bits) {
      throw_usage("{}: method '{}' has whole code widths from {} to {}, found {} ({} and {} meet rates between them)",
                  option_name("bits"), m.name, m.min_bits, m.max_bits, bits, option_name("ratio"), option_name("size"));
    }
  }
  const double whole = std::floor(bits);
  set_recipes(plan, static_cast<int>(whole), bits - whole);
}

void fit_widths(std::vector<PlannedTensor>& plan, uint64_t ceiling, const std::function<uint64_t()>& file_bytes) {
  const bool any = std::any_of(plan.begin(), plan.end(), [](const PlannedTensor& t) { return t.method.has_value(); });
  const auto [least, most] = common_widths(plan);
  uint64_t bytes = 0;
  int bits = least - 1;  // widest code at which the whole file is small enough
  while (bits < most) {
    set_recipes(plan, bits + 1, 0);
    const uint64_t next = file_bytes();
    if (next > ceiling) {
      if (bits < least || !any) {
        throw_usage("the size asked for, {} bytes, cannot be met: the smallest file of this method has {} bytes",
                    ceiling, next);
      }
      break;
    }
    bytes = next;
    ++bits;
    if (!any) return;
  }
  if (bits == most) return set_recipes(plan, bits, 0);
  // The file size is nearly linear in the fraction of rows with one more bit. So regula falsi finds it, approaching the
  // ceiling from below.
  double low = 0, high = 1;
  set_recipes(plan, bits + 1, 0);
  double low_bytes = static_cast<double>(bytes), high_bytes = static_cast<double>(file_bytes());
  for (int i = 0; i < 24; ++i) {
    const double slope = (static_cast<double>(ceiling) - low_bytes) / (high_bytes - low_bytes);
    const double fraction = low + (high - low) * (i % 4 == 3 ? 0.5 : std::clamp(slope, 0.001, 0.999));
    set_recipes(plan, bits, fraction);
    const auto size = static_cast<double>(file_bytes());
    if (size <= static_cast<double>(ceiling)) {
      low = fraction;
      low_bytes = size;
      if (size > static_cast<double>(ceiling) * 0.9995) break;
    } else {
      high = fraction;
      high_bytes = size;
    }
  }
  set_recipes(plan, bits, low);
}

}  // namespace occ
