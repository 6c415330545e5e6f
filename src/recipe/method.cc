#include "recipe/method.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace occ {
namespace {

constexpr std::array kRtnParams = {
    int_param("group", "0", 0, 65536, "columns per scale; 0: one scale per row"),
    choice_param("zero", "symmetric", "symmetric|asymmetric", "levels around zero, or an integer zero point"),
    choice_param("clip", "mse", "mse|absmax", "range of least squared error, or the largest magnitude"),
};

constexpr std::array kLloydParams = {
    int_param("group", "0", 0, 65536, "columns per scale; 0: one scale per row"),
    choice_param("codebook", "gaussian", "gaussian|fitted", "levels for N(0,1), or fitted to the tensor"),
};

// Returns the recipe `name > coder`, with the parameters of the method and the bits.
Recipe scalar_recipe(std::string_view stage, const Params& params, std::span<const ParamSpec> table, int bits) {
  std::string text = fmt::format("{}(bits={}", stage, bits);
  for (const ParamSpec& p : table) {
    const std::string value =
        p.type == ParamSpec::Type::kChoice ? params.choice(p.name) : fmt::format("{}", params.integer(p.name));
    text += fmt::format(", {}={}", p.name, value);
  }
  return Recipe::parse(text + ") > bitpack");
}

Recipe rtn_recipe(const Params& params, int bits) { return scalar_recipe("uniform", params, kRtnParams, bits); }
Recipe lloyd_recipe(const Params& params, int bits) { return scalar_recipe("lloyd", params, kLloydParams, bits); }

constexpr std::array kTrellisParams = {
    int_param("states", "0", 0, 256, "states of the trellis, a power of two from 4 on; 0: by --effort"),
};

Recipe trellis_recipe(const Params& params, double step, int effort) {
  const int64_t states = params.integer("states");
  return Recipe::parse(trellis_code(step, states == 0 ? trellis_states(effort) : states));
}

constexpr std::array kPcdvqParams = {
    int_param("direction", "0", 0, 16, "bits of the direction, the rest of a vector's is its length; 0: by the rate"),
    choice_param("dim", "auto", "auto|2|4|8|16", "columns of a row that form a vector; auto: 8, or by the rate"),
    choice_param("codebook", "auto", "auto|e8-greedy|random|kmeans", "directions; auto: e8-greedy, or kmeans in dim=4"),
    choice_param("radius", "projected", "projected|norm", "length coded: <x, direction>, or |x| as in the paper"),
};

// Uses the split of the bits between direction and length with the least error for N(0, 1)
// (docs/explanation/methods/pcdvq.md).
Recipe pcdvq_recipe(const Params& params, int bits) {
  struct Split {
    int dim, direction;
  };
  constexpr Split kBest[] = {{8, 8}, {8, 15}, {4, 10}, {4, 13}};
  Split split = kBest[std::clamp(bits, 1, 4) - 1];
  const auto direction = static_cast<int>(params.integer("direction"));
  if (direction != 0) split = {8, direction};
  if (params.choice("dim") != "auto") {
    const int dim = std::stoi(params.choice("dim"));
    if (direction == 0 && dim != split.dim) split.direction = std::clamp(bits * dim * 13 / 16, 1, 14);
    split.dim = dim;
  }
  const int magnitude = bits * split.dim - split.direction;
  if (magnitude < 0 || magnitude > 8) {
    throw_usage("method pcdvq: {} bits for vectors of {} and direction={} leave {} for the magnitude, expected 0 to 8",
                bits * split.dim, split.dim, split.direction, magnitude);
  }
  std::string codebook = params.choice("codebook");
  if (codebook == "auto") codebook = split.dim == 8 ? "e8-greedy" : split.dim == 16 ? "random" : "kmeans";
  return Recipe::parse(
      fmt::format("signs > hadamard > polar(direction={}, magnitude={}, dim={}, codebook={}, radius={}) > bitpack",
                  split.direction, magnitude, split.dim, codebook, params.choice("radius")));
}

constexpr std::array kKashinParams = {
    choice_param("basis", "dct", "dct|hadamard|orthogonal", "the second basis"),
    int_param("block", "0", 0, 1 << 24, "columns it maps as one; 0: all (orthogonal: 256), then no error feedback"),
    choice_param("clusters", "separate", "separate|joint", "levels for each part, or points for pairs of both"),
    int_param("rounds", "30", 0, 1000,
              "of alternating requantization; 0: the pair of the paper as it stands, even bits"),
};

Recipe kashin_recipe(const Params& params, int bits) {
  const int64_t rounds = params.integer("rounds");
  if (rounds == 0 && bits % 2 != 0)
    throw_usage("method kashin: rounds=0 expects an even number of bits, found {}", bits);
  const int v = rounds == 0 ? bits / 2 : 1;
  // The start with the least final error for N(0, 1) (docs/explanation/methods/kashin.md).
  const char* start = bits == 3 || rounds == 0 ? "start=pair" : bits == 2 ? "shrink=0.5" : "shrink=0.1";
  const std::string& basis = params.choice("basis");
  const int64_t block = params.integer("block") == 0 && basis == "orthogonal" ? 256 : params.integer("block");
  return Recipe::parse(
      fmt::format("signs > hadamard > kashin(u={}, v={}, basis={}, block={}, clusters={}, {}, rounds={}) > bitpack",
                  bits - v, v, basis, block, params.choice("clusters"), start, rounds));
}

constexpr std::array kGgmlParams = {
    choice_param("type", "Q4_K", "Q4_0|Q4_1|Q5_0|Q5_1|Q8_0|IQ4_NL|Q2_K|Q3_K|Q4_K|Q5_K|Q6_K",
                 "block type of GGUF; it sets the rate, whatever the bits"),
    int_param("group", "0", 0, 65536, "columns of a block, for types without sub-blocks; 0: as in GGUF"),
};
Recipe ggml_recipe(const Params& params, int /*bits*/) {
  return Recipe::parse(
      fmt::format("ggml(type={}, group={}) > bitpack", params.choice("type"), params.integer("group")));
}

Recipe turbo_recipe(const Params&, int bits) {
  return Recipe::parse(fmt::format("signs > hadamard > lloyd(bits={}) > bitpack", bits));
}

constexpr std::array kCpqParams = {
    choice_param("basis", "dct", "dct|dst", "coordinates of a row, after random signs"),
    choice_param("quantizer", "scalar", "scalar|pair|trellis",
                 "Lloyd-Max levels, pairs of angle and radius, or an entropy-coded trellis (any rate)"),
    choice_param("keep", "norm", "norm|product", "decoded rows keep their norm, or unbiased inner products"),
};

Recipe cpq_recipe_of(const Params& params, const std::string& quantizer) {
  const char* keep = params.choice("keep") == "norm" ? "" : "(keep=product)";
  return Recipe::parse(fmt::format("rownorm{} > signs > {} > {}", keep, params.choice("basis"), quantizer));
}
Recipe cpq_recipe(const Params& params, int bits) {
  if (params.choice("quantizer") == "scalar")
    return cpq_recipe_of(params, fmt::format("lloyd(bits={}, per=tensor) > bitpack", bits));
  return cpq_recipe_of(
      params, fmt::format("polar(direction={}, magnitude={}, dim=2, codebook=kmeans, radius=norm) > bitpack", bits + 1,
                          bits - 1));
}
Recipe cpq_recipe_at(const Params& params, double step, int effort) {
  return cpq_recipe_of(params, trellis_code(step, trellis_states(effort)));
}

constexpr std::array kPcaParams = {
    int_param("block", "0", 0, 1 << 24, "columns per basis, 0: all; a basis is stored, 16 bits an element"),
    choice_param("of", "data", "data|hessian", "eigenvectors of the rows' second moments, or of the inputs'"),
    choice_param("quantizer", "trellis", "trellis|scalar",
                 "entropy-coded trellis, one step (any rate), or as many levels in every direction"),
    choice_param("zero", "symmetric", "symmetric|asymmetric", "levels of `scalar`: around zero, or with a zero point"),
};

Recipe pca_recipe_of(const Params& params, const std::string& quantizer) {
  return Recipe::parse(
      fmt::format("pca(block={}, of={}) > {}", params.integer("block"), params.choice("of"), quantizer));
}
Recipe pca_recipe(const Params& params, int bits) {
  return pca_recipe_of(params,
                       fmt::format("uniform(bits={}, per=column, zero={}) > bitpack", bits, params.choice("zero")));
}
Recipe pca_recipe_at(const Params& params, double step, int effort) {
  return pca_recipe_of(params, trellis_code(step, trellis_states(effort)));
}

constexpr ParamSpec kSubspaces = int_param("m", "0", 0, 1 << 24, "subspaces of the columns; 0: by the rate");
constexpr ParamSpec kCentroids = int_param("k", "0", 0, 65536, "centroids per subspace; 0: by the rate");
constexpr ParamSpec kIterations = int_param("iterations", "20", 1, 10000, "of k-means, at most");
constexpr ParamSpec kCodebook = choice_param("codebook", "f16", "f16|rtn", "how centroids are stored");
constexpr ParamSpec kCodebookBits = int_param("codebook_bits", "8", 2, 16, "bits of a number, codebook=rtn");
constexpr ParamSpec kCodebookScale =
    choice_param("codebook_scale", "centroid", "centroid|column", "what shares a scale, codebook=rtn");

constexpr std::array kPqParams = {kSubspaces, kCentroids, kIterations, kCodebook, kCodebookBits, kCodebookScale};

// Returns the stage `name` with the budget `bits` and all parameters that the user has given to the method.
std::string product_stage(std::string_view name, const Params& params, std::span<const ParamSpec> table, double bits) {
  std::string text = fmt::format("{}(bits={:.6g}", name, std::clamp(bits, 0.01, 32.0));
  for (const ParamSpec& p : table) {
    if (!params.given(p.name)) continue;
    const std::string value =
        p.type == ParamSpec::Type::kChoice ? params.choice(p.name) : fmt::format("{}", params.integer(p.name));
    text += fmt::format(", {}={}", p.name, value);
  }
  return text + ")";
}

Recipe pq_recipe(const Params& params, double bits) {
  return Recipe::parse(product_stage("pq", params, kPqParams, bits) + " > bitpack");
}

constexpr std::array kOpqParams = {
    int_param("block", "0", 0, 1 << 16, "columns that are rotated together, 1: none; 0: by the rate"),
    int_param("rounds", "8", 0, 1000, "of fitting the rotation to the codes and the codes to the rotation"),
    kSubspaces,
    kCentroids,
    kIterations,
    kCodebook,
    kCodebookBits,
    kCodebookScale};

Recipe opq_recipe(const Params& params, double bits) {
  return Recipe::parse(product_stage("opq", params, kOpqParams, bits) + " > bitpack");
}

constexpr std::array kLopqParams = {int_param("clusters", "4", 2, 4096, "of rows, each with rotation and codebooks"),
                                    kOpqParams[0],
                                    kOpqParams[1],
                                    kSubspaces,
                                    kCentroids,
                                    kIterations,
                                    kCodebook,
                                    kCodebookBits,
                                    kCodebookScale};

Recipe lopq_recipe(const Params& params, double bits) {
  std::string stage = product_stage("opq", params, kLopqParams, bits);
  if (!params.given("clusters")) stage.insert(stage.size() - 1, ", clusters=4");
  return Recipe::parse(stage + " > bitpack");
}

constexpr std::array kQetParams = {
    int_param("levels", "2", 0, 6, "of the tree, half a bit per weight each"),
    choice_param("layout", "parts", "parts|groups", "sorted values part by part, or by group"),
    kSubspaces,
    kCentroids,
    kIterations,
    kCodebook,
    kCodebookBits,
    kCodebookScale,
    choice_param("order", "bitpack", "bitpack|rans", "coder of the order bits"),
    choice_param("residual", "none", "none|rtn|qet", "code of what is left over"),
    int_param("rounds", "1", 1, 8, "of that code"),
    real_param("outliers", "0", 0, 0.1, "fraction of the values that are kept aside exactly"),
};

// Each is the best at some rate of some data (docs/explanation/methods/qet.md). The first is pq, so that no tensor is
// worse than with pq.
constexpr std::string_view kQetForms[] = {
    "pq",
    "qet(levels=1, layout=groups)",
    "qet(levels=2, layout=groups)",
    "qet(levels=0, residual=rtn)",
    "qet(levels=0, residual=rtn, outliers=0.0002)",
    "qet(levels=1, layout=groups, residual=rtn, outliers=0.0002)",
};

// A residual coded by rtn gets as many whole bits as the order bits and a small codebook leave, which has the least
// error (experiments/qet). A residual coded by qet gets half of the budget.
Recipe qet_recipe(const Params& params, double bits) {
  const std::string residual = params.choice("residual");
  const auto rounds = residual == "none" ? 0.0 : static_cast<double>(params.integer("rounds"));
  const double outliers = params.real("outliers"), left = std::max(0.01, bits - 64 * outliers);
  const double order = 0.5 * static_cast<double>(params.integer("levels"));
  const double width = rounds == 0 ? 0 : std::clamp(std::floor((left - order - 0.3) / rounds), 1.0, 16.0);
  const double first = residual == "rtn" ? left - rounds * width : residual == "qet" ? left / 2 : left;
  const auto stage = [&](double budget) {
    return product_stage("qet", params, std::span(kQetParams).first(8), budget) +
           (params.choice("order") == "rans" ? " > { codes: bitpack ; order: rans(tables=64) }" : " > bitpack");
  };
  std::string text = outliers > 0 ? fmt::format("outliers(fraction={:.6g}) > ", outliers) : "";
  text += stage(first);
  for (int i = 0; i < static_cast<int>(rounds); ++i) {
    text += " + ";
    text += residual == "qet" ? stage((left - first) / rounds) : fmt::format("uniform(bits={}) > bitpack", width);
  }
  return Recipe::parse(text);
}

// The lattice E8 with a step of 2 s has the same error as a trellis with a step of s.
Recipe e8_recipe(const Params&, double step, int /*effort*/) {
  return Recipe::parse(fmt::format("e8(step={:.5g}) > rans(tables=64)", std::clamp(2 * step, 1e-6, 1e6)));
}

constexpr std::array kMethods = {
    MethodEntry{.name = "auto",
                .summary = "trellis in the coordinate system that takes the fewest bits, chosen tensor by tensor",
                .paper = "see trellis; docs/explanation/methods/trellis.md",
                .params = kTrellisParams,
                .recipe_at = trellis_recipe,
                .chooses_coordinates = true,
                .row_feedback = true},
    MethodEntry{.name = "trellis",
                .summary = "entropy-coded trellis quantization, near the rate-distortion limit at any rate",
                .paper = "Fischer & Wang 1992; Marcellin 1994, On Entropy-Constrained Trellis Coded Quantization",
                .params = kTrellisParams,
                .recipe_at = trellis_recipe,
                .row_feedback = true},
    MethodEntry{"rtn", "round to nearest on a uniform grid, scale per row or group",
                "Nagel et al. 2021, A White Paper on Neural Network Quantization", kRtnParams, 1, 16, rtn_recipe,
                nullptr, false},
    MethodEntry{"lloyd", "Lloyd-Max scalar quantizer, scale per row or group",
                "Lloyd 1982; Max 1960, Quantizing for Minimum Distortion", kLloydParams, 1, 8, lloyd_recipe, nullptr,
                false},
    MethodEntry{"pcdvq", "polar vector quantizer: direction and length of 4 or 8 rotated weights coded apart",
                "PCDVQ: Polar Coordinate Decoupled Vector Quantization, arXiv 2506.05432", kPcdvqParams, 1, 4,
                pcdvq_recipe, nullptr, false},
    MethodEntry{"kashin", "rotated rows as sums of two few-level vectors, one of them in a second basis",
                "Quantization of LLMs with an Overdetermined Basis, arXiv 2404.09737", kKashinParams, 2, 5,
                kashin_recipe, nullptr, false},
    MethodEntry{.name = "e8",
                .summary = "entropy-coded lattice E8, at any rate",
                .paper = "Conway & Sloane 1982, Fast Quantizing and Decoding Algorithms for Lattice Quantizers",
                .params = {},
                .recipe_at = e8_recipe},
    MethodEntry{.name = "cpq",
                .summary = "cosine-preserving: rows keep their exact norm, only directions err",
                .paper = "CPQ, cosine-preserving quantization; docs/explanation/methods/cpq.md",
                .params = kCpqParams,
                .max_bits = 8,
                .recipe = cpq_recipe,
                .recipe_at = cpq_recipe_at,
                .continuous_with = [](const Params& p) { return p.choice("quantizer") == "trellis"; }},
    MethodEntry{.name = "pca",
                .summary = "principal axes of the rows, in blocks of columns or at once, then a trellis or levels",
                .paper = "Karhunen 1947, Loeve 1948; Huang & Schultheiss 1963, Block Quantization",
                .params = kPcaParams,
                .recipe = pca_recipe,
                .recipe_at = pca_recipe_at,
                .continuous_with = [](const Params& p) { return p.choice("quantizer") == "trellis"; }},
    MethodEntry{.name = "pq",
                .summary = "product quantization: parts of rows as one of k centroids",
                .paper = "Jegou, Douze & Schmid 2011, Product Quantization for Nearest Neighbor Search",
                .params = kPqParams,
                .min_bits = 0,
                .recipe_of_budget = pq_recipe},
    MethodEntry{.name = "opq",
                .summary = "product quantization of rotated rows",
                .paper = "Ge, He, Ke & Sun 2013, Optimized Product Quantization",
                .params = kOpqParams,
                .min_bits = 0,
                .recipe_of_budget = opq_recipe},
    MethodEntry{.name = "lopq",
                .summary = "clusters of rows, each with a rotation and a product quantizer",
                .paper = "Kalantidis & Avrithis 2014, Locally Optimized Product Quantization",
                .params = kLopqParams,
                .min_bits = 0,
                .recipe_of_budget = lopq_recipe},
    MethodEntry{.name = "qet",
                .summary = "neighbours sorted pair by pair, then product quantization; what is left may be coded again",
                .paper = "Quantum Entanglement Trees (QET, HERA); docs/explanation/methods/qet.md",
                .params = kQetParams,
                .min_bits = 0,
                .recipe_of_budget = qet_recipe,
                .forms = kQetForms},
    MethodEntry{"ggml", "the blocks of GGUF files, for llama.cpp (see decompress --gguf-type)",
                "ggml-common.h of ggml; Frantar et al. 2022, GPTQ", kGgmlParams, 1, 16, ggml_recipe, nullptr, false},
    MethodEntry{"turbo",
                "random rotation, then Lloyd-Max levels of the normal density",
                "TurboQuant, arXiv 2504.19874",
                {},
                1,
                8,
                turbo_recipe,
                nullptr,
                false},
};

}  // namespace

// Measured on N(0, 1) with 8 states: the nmse is 0.0702 at step 0.5, and proportional to the squared step for small
// steps.
double trellis_step(double bits) { return 0.498 * std::exp2(2 - bits); }
double trellis_rate(double step) { return 2 - std::log2(step / 0.498); }
double trellis_nmse(double step) { return 1 / (1 + 1 / (0.281 * step * step)); }

std::string trellis_code(double step, int64_t states) {
  if (states == 0) return fmt::format("trellis(step={:.5g}) > rans", step);
  // The coder uses only as many tables as save bits.
  return fmt::format("trellis(states={}, step={:.5g}) > rans(tables=64)", states, std::clamp(step, 1e-6, 1e6));
}

int trellis_states(int effort) {
  constexpr int kStates[] = {8, 8, 8, 16, 32, 64, 128, 256, 256};
  return kStates[std::clamp(effort, 1, 9) - 1];
}

std::span<const MethodEntry> method_registry() { return kMethods; }

const MethodEntry* find_method(std::string_view name) {
  const auto it = std::find_if(kMethods.begin(), kMethods.end(), [&](const MethodEntry& m) { return m.name == name; });
  return it == kMethods.end() ? nullptr : &*it;
}

Method Method::parse(std::string_view text) {
  const auto [name, given] = parse_call(text);
  const MethodEntry* entry = find_method(name);
  if (entry == nullptr) {
    std::string known;
    for (const MethodEntry& m : kMethods) known += fmt::format("{}{}", known.empty() ? "" : ", ", m.name);
    throw_usage("there is no method '{}', expected one of {}", name, known);
  }
  return {entry, Params(entry->params, given, name)};
}

bool Method::chooses_form() const {
  return !entry->forms.empty() &&
         std::none_of(entry->params.begin(), entry->params.end(), [&](const auto& p) { return params.given(p.name); });
}

Recipe Method::split_recipe(int bits, size_t head_rows, size_t rows) const {
  if (entry->recipe_of_budget != nullptr) {
    return entry->recipe_of_budget(
        params, bits + static_cast<double>(head_rows) / static_cast<double>(std::max<size_t>(1, rows)));
  }
  if (head_rows == 0) return recipe(bits);
  if (head_rows == rows) return recipe(bits + 1);
  return Recipe::parse(fmt::format("split(rows={}) > {{ head: {} ; tail: {} }}", head_rows, recipe(bits + 1).print(),
                                   recipe(bits).print()));
}

}  // namespace occ
