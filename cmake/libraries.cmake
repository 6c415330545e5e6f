# Five libraries and the binary. What belongs where follows from the folders, so that a new stage needs no line here:
#   occ_core    base simd tensor io metrics
#   occ_decode  transforms quantization entropy recipe container operators, without *_fit.cc and fit_registry.cc
#   occ_model   tokenizer model evaluation: language models on top of operators
#   occ_encode  linalg compress, and *_fit.cc and fit_registry.cc of the stages: the only one that links BLAS and LAPACK
#   occ_calibration  calibration: models and compression together
function(occ_sources out)
  set(all)
  foreach(folder IN LISTS ARGN)
    file(GLOB found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${folder}/*.cc)
    list(APPEND all ${found})
  endforeach()
  list(FILTER all EXCLUDE REGEX "_(test|bench|fuzz)\\.cc$")
  set(${out} ${all} PARENT_SCOPE)
endfunction()

occ_sources(core_sources base simd tensor io metrics)
occ_sources(stage_sources transforms quantization entropy recipe container operators)
set(fit_sources ${stage_sources})
list(FILTER fit_sources INCLUDE REGEX "(_fit|/fit_registry)\\.cc$")
set(decode_sources ${stage_sources})
list(FILTER decode_sources EXCLUDE REGEX "(_fit|/fit_registry)\\.cc$")
occ_sources(encode_sources linalg compress)
occ_sources(model_sources tokenizer model evaluation)
occ_sources(calibration_sources calibration)
occ_sources(cli_sources report cli)

add_library(occ_core STATIC ${core_sources})
target_link_libraries(occ_core PUBLIC fmt::fmt PkgConfig::XXHASH PkgConfig::HWY TBB::tbb Threads::Threads
                      PRIVATE PkgConfig::ZSTD nlohmann_json::nlohmann_json $<BUILD_INTERFACE:occ_flags>)

add_library(occ_decode STATIC ${decode_sources})
target_link_libraries(occ_decode PUBLIC occ_core
                      PRIVATE PkgConfig::ZSTD nlohmann_json::nlohmann_json $<BUILD_INTERFACE:occ_flags>)

add_library(occ_model STATIC ${model_sources})
target_link_libraries(occ_model PUBLIC occ_decode
                      PRIVATE PkgConfig::PCRE2 nlohmann_json::nlohmann_json $<BUILD_INTERFACE:occ_flags>)

# The version is part of what archives and unfinished runs say of themselves.
set_source_files_properties(src/compress/compress.cc src/cli/main.cc PROPERTIES
                            COMPILE_DEFINITIONS OCC_VERSION="${PROJECT_VERSION}")

add_library(occ_encode STATIC ${encode_sources} ${fit_sources})
target_link_libraries(occ_encode PUBLIC occ_decode
                      PRIVATE PkgConfig::OPENBLAS PkgConfig::LAPACKE PkgConfig::ZSTD nlohmann_json::nlohmann_json
                              $<BUILD_INTERFACE:occ_flags>)

add_library(occ_calibration STATIC ${calibration_sources})
target_link_libraries(occ_calibration PUBLIC occ_encode occ_model
                      PRIVATE nlohmann_json::nlohmann_json $<BUILD_INTERFACE:occ_flags>)

foreach(name core decode encode model calibration)
  target_include_directories(occ_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                $<INSTALL_INTERFACE:include>)
  set_target_properties(occ_${name} PROPERTIES EXPORT_NAME ${name})
  add_library(occ::${name} ALIAS occ_${name})
endforeach()

add_executable(occ ${cli_sources})
target_link_libraries(occ PRIVATE occ_calibration occ_flags CLI11::CLI11 nlohmann_json::nlohmann_json)
