#include "report/tensor_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "metrics/limits.h"
#include "report/charts.h"
#include "report/html.h"
#include "report/plot.h"
#include "report/tensor_kinds.h"
#include "report/units.h"

namespace occ {
namespace {

using Value = std::function<std::optional<double>(const TensorFigure&)>;

constexpr size_t kMostBars = 40, kMostBoxes = 400;

class TensorFigures {
 public:
  TensorFigures(std::span<const TensorFigure> tensors, const std::string& what, const std::string& command)
      : tensors_(tensors), what_(what), command_(command) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].coded && tensors[i].elements != 0) coded_.push_back(i);
    }
    std::vector<std::string> names;
    for (const size_t i : coded_) names.push_back(tensors[i].name);
    kinds_ = group_by_kind(names);
    layers_ = group_by_layer(names);
    for (size_t k = 0; k < kinds_.size(); ++k) {
      for (const size_t m : kinds_[k].members) colour_[tensors[coded_[m]].name] = k;
    }
  }

  bool any(const Value& value) const {
    return std::any_of(coded_.begin(), coded_.end(), [&](size_t i) { return value(tensors_[i]).has_value(); });
  }

  // A map of layers and kinds, or a bar for every tensor where no tensor is in a layer. Cells of several tensors have
  // their mean, weighted by the numbers of weights, or with `sum` their sum.
  std::string map(const std::string& title, const Value& value, bool sum, bool log, const std::string& unit,
                  const std::string& caption) const {
    return figure(
        title, layers_.empty() ? list(value, unit) : cells(value, sum, log, unit),
        caption + (layers_.empty() ? "" : " One cell for every layer and kind of tensor, coded tensors only."),
        command_);
  }

  std::string bytes(uint64_t rest) const {
    std::vector<TreemapItem> items;
    uint64_t small = 0;
    size_t count = 0;
    std::vector<const TensorFigure*> order;
    for (const TensorFigure& t : tensors_) order.push_back(&t);
    std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->bytes > b->bytes; });
    for (const TensorFigure* t : order) {
      if (items.size() < kMostBoxes) {
        const auto colour = colour_.find(t->name);
        items.push_back({label(t->name), static_cast<double>(t->bytes), fmt::format("{}: {} bytes", t->name, t->bytes),
                         colour == colour_.end() ? kGrey : colour->second});
      } else {
        small += t->bytes;
        ++count;
      }
    }
    if (count != 0) {
      items.push_back(
          {"others", static_cast<double>(small), fmt::format("{} smaller tensors: {} bytes", count, small), kGrey});
    }
    if (rest != 0) {
      items.push_back({"rest", static_cast<double>(rest),
                       fmt::format("index, configuration and tokenizer: {} bytes", rest), kGrey});
    }
    std::vector<Bar> kinds;
    for (size_t k = 0; k < kinds_.size(); ++k) {
      double sum = 0;
      for (const size_t m : kinds_[k].members) sum += static_cast<double>(tensors_[coded_[m]].bytes);
      kinds.push_back({kinds_[k].label, sum, human_bytes(sum), 0, k});
    }
    return figure(
        "Where the bytes are", treemap(items) + bars(kinds),
        "The area of a box is the number of bytes of a tensor in the file, its colour the kind of the tensor; "
        "grey: tensors that are kept as they are, and everything that is no tensor. The bars are the sums of "
        "the kinds.",
        command_);
  }

  std::string rate_and_error() const {
    std::vector<Series> series = by_kind([](const TensorFigure& t) { return std::optional(t.bpw()); },
                                         [](const TensorFigure& t) { return t.nmse; });
    double least = 1, most = 1;
    for (const Series& s : series) {
      for (const PlotPoint& p : s.points) {
        most = std::max(most, p.x);
        if (p.y > 0) least = std::min(least, p.y);
      }
    }
    Series limit{"Gaussian weights", {}, Series::Style::kDashed};
    for (double b = 0; b <= most + 0.5 && gaussian_distortion(b) > least / 8; b += 0.25) {
      limit.points.push_back({b, gaussian_distortion(b)});
    }
    series.push_back(std::move(limit));
    return figure(
        "Rate and error of every tensor",
        plot({.label = "bits per weight of the tensor"}, {.label = "nmse", .log = true}, series),
        fmt::format("Squared error of the decoded values of a tensor over their energy, against {}. Dashed: the "
                    "least error of any code of independent Gaussian weights of one variance, 2^(-2 bits). "
                    "Tensors below it have structure that the code uses; with second moments or gradients the "
                    "errors go where they matter least and are larger than the least possible.",
                    what_),
        command_);
  }

  std::string limits() const {
    std::vector<Series> series = by_kind([](const TensorFigure& t) { return t.limit_bpw; },
                                         [](const TensorFigure& t) { return std::optional(t.bpw()); });
    double most = 0;
    for (const Series& s : series) {
      for (const PlotPoint& p : s.points) most = std::max(most, p.x);
    }
    series.push_back({"limit", {{0, 0}, {most, most}}, Series::Style::kDashed});
    return figure(
        "Distance from the limit",
        plot({.label = "fewest bits per weight at that error"}, {.label = "bits per weight"}, series),
        "Across: the fewest bits of any code of Gaussian weights at the error of the tensor (the weighted error "
        "where second moments were used). Up: what it takes. The distance above the dashed line is what the "
        "code, its tables and scales cost beyond that.",
        command_);
  }

 private:
  static constexpr size_t kGrey = 10;

  static std::string label(const std::string& name) {
    constexpr std::string_view kAttention = "attention ";
    std::string kind = tensor_kind(name);
    if (kind.starts_with(kAttention)) kind = kind.substr(kAttention.size());
    const std::optional<std::string> layer = tensor_layer(name);
    if (kind == "other") return name;
    return layer ? kind + " " + layer->substr(layer->rfind('.') + 1) : kind;
  }

  std::string hover(const TensorFigure& t) const {
    std::string out = fmt::format("{}: {:.4f} bits per weight, {} bytes", t.name, t.bpw(), t.bytes);
    if (t.nmse) out += fmt::format(", nmse {:.6g}", *t.nmse);
    if (t.limit_bpw) out += fmt::format(", limit {:.4f} bits", *t.limit_bpw);
    return out;
  }

  std::string list(const Value& value, const std::string& unit) const {
    std::vector<Bar> out;
    for (const size_t i : coded_) {
      const std::optional<double> v = value(tensors_[i]);
      if (v) out.push_back({tensors_[i].name, *v, short_number(*v) + " " + unit, 0, colour_.at(tensors_[i].name)});
    }
    std::stable_sort(out.begin(), out.end(), [](const Bar& a, const Bar& b) { return a.value > b.value; });
    if (out.size() > kMostBars) out.resize(kMostBars);
    return bars(out);
  }

  std::string cells(const Value& value, bool sum, bool log, const std::string& unit) const {
    std::vector<std::string> rows, columns;
    std::vector<std::vector<HeatCell>> out;
    for (const TensorGroup& k : kinds_) columns.push_back(k.label);
    for (const TensorGroup& layer : layers_) {
      rows.push_back(layer.label);
      out.emplace_back();
      for (const TensorGroup& kind : kinds_) {
        double weights = 0, total = 0;
        std::string names;
        for (const size_t m : kind.members) {
          if (std::find(layer.members.begin(), layer.members.end(), m) == layer.members.end()) continue;
          const TensorFigure& t = tensors_[coded_[m]];
          const std::optional<double> v = value(t);
          if (!v || !std::isfinite(*v)) continue;
          const double w = sum ? 1 : static_cast<double>(t.elements);
          weights += w;
          total += w * *v;
          if (names.size() < 200) names += (names.empty() ? "" : "; ") + hover(t);
        }
        HeatCell cell;
        if (weights > 0) {
          cell.value = sum ? total : total / weights;
          cell.hover = fmt::format("{:.6g} {} ({})", *cell.value, unit, names);
        }
        out.back().push_back(std::move(cell));
      }
    }
    return heat_map(rows, columns, out, log);
  }

  std::vector<Series> by_kind(const Value& x, const Value& y) const {
    std::vector<Series> out;
    for (const TensorGroup& kind : kinds_) {
      Series s{kind.label, {}, Series::Style::kPoints};
      for (const size_t m : kind.members) {
        const TensorFigure& t = tensors_[coded_[m]];
        if (x(t) && y(t)) s.points.push_back({*x(t), *y(t), hover(t)});
      }
      out.push_back(std::move(s));
    }
    return out;
  }

  std::span<const TensorFigure> tensors_;
  const std::string what_, command_;
  std::vector<size_t> coded_;
  std::vector<TensorGroup> kinds_, layers_;  // members are indices into coded_
  std::map<std::string, size_t> colour_;
};

}  // namespace

std::vector<std::string> tensor_figures(std::span<const TensorFigure> tensors, uint64_t rest, const std::string& what,
                                        const std::string& command) {
  const TensorFigures all(tensors, what, command);
  const Value bits = [](const TensorFigure& t) { return std::optional(t.bpw()); };
  const Value nmse = [](const TensorFigure& t) { return t.nmse; };
  const Value sensitivity = [](const TensorFigure& t) { return t.sensitivity; };
  double total = 0;
  for (const TensorFigure& t : tensors) {
    if (t.coded && t.sensitivity && t.error) total += *t.sensitivity * *t.error * static_cast<double>(t.elements);
  }
  const Value loss = [&](const TensorFigure& t) {
    return t.sensitivity && t.error && total > 0
               ? std::optional(100 * *t.sensitivity * *t.error * static_cast<double>(t.elements) / total)
               : std::nullopt;
  };
  std::vector<std::string> out;
  if (all.any(bits)) {
    out.push_back(all.map("Bits per weight", bits, false, false, "bits per weight",
                          "Bits per weight of the blobs, with scales, tables and whatever else is stored for them."));
  }
  if (all.any(loss)) {
    out.push_back(
        all.map("Where the loss comes from", loss, true, true, "% of the loss",
                "Share of the predicted loss of the model in percent: sensitivity times error times number of "
                "weights."));
  }
  if (all.any(nmse)) {
    out.push_back(all.map("Error", nmse, false, true, "nmse",
                          fmt::format("Squared error of the decoded values over their energy, against {}.", what)));
  }
  out.push_back(all.bytes(rest));
  if (all.any(nmse)) out.push_back(all.rate_and_error());
  if (all.any([](const TensorFigure& t) { return t.limit_bpw; })) out.push_back(all.limits());
  if (all.any(sensitivity)) {
    out.push_back(all.map("Sensitivity", sensitivity, false, true, "relative loss",
                          "Loss of the model per weight and unit of error, relative to other tensors: from gradients "
                          "where the file was calibrated, or as given with --sensitivity."));
  }
  return out;
}

}  // namespace occ
