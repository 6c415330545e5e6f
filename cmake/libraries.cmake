# Seven libraries and the binary. What belongs where follows from the folders, so that a new stage needs no line here:
#   occ_core    base simd tensor io metrics, without weighted_error.cc
#   occ_decode  transforms quantization entropy recipe container operators search, without *_fit.cc and fit_registry.cc
#   occ_model   tokenizer chat model evaluation: language models on top of operators
#   occ_encode  linalg compress, *_fit.cc and fit_registry.cc of the stages, and weighted_error.cc: the only one that links
#               BLAS and LAPACK
#   occ_calibration  calibration: models and compression together
#   occ_report  report: for the binary and the tests, not installed
#   occ_server  server: likewise, with OCC_WITH_SERVER
# With OCC_WITH_ENCODER=OFF encode and calibration are left out, and the binary has no `compress`, `compare`, `analyze` and `methods`.

# Compiles several files as one, so that what headers define is generated once. Left out are files for several SIMD targets, which
# include themselves, and stages and operators, which call the same things by the same names.
function(occ_join_sources target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    file(STRINGS ${source} several_targets REGEX "hwy/foreach_target.h" LIMIT_COUNT 1)
    if(several_targets OR (source MATCHES "src/(quantization|transforms|entropy|operators)/" AND NOT source MATCHES "_test\\.cc$"))
      set_source_files_properties(${source} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
endfunction()

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
set(weighted_error ${PROJECT_SOURCE_DIR}/src/metrics/weighted_error.cc)  # needs BLAS
list(REMOVE_ITEM core_sources ${weighted_error})
occ_sources(stage_sources transforms quantization entropy recipe container operators search)
set(fit_sources ${stage_sources})
list(FILTER fit_sources INCLUDE REGEX "(_fit|/fit_registry)\\.cc$")
set(decode_sources ${stage_sources})
list(FILTER decode_sources EXCLUDE REGEX "(_fit|/fit_registry)\\.cc$")
occ_sources(encode_sources linalg compress)
occ_sources(model_sources tokenizer chat model evaluation)
occ_sources(calibration_sources calibration)
occ_sources(report_sources report)
occ_sources(server_sources server)
occ_sources(cli_sources cli)

add_library(occ_core STATIC ${core_sources})
target_link_libraries(occ_core PUBLIC fmt::fmt PkgConfig::XXHASH PkgConfig::HWY TBB::tbb Threads::Threads
                      PRIVATE PkgConfig::ZSTD PkgConfig::LIBZIP $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>
                              $<BUILD_INTERFACE:occ_flags>)

add_library(occ_decode STATIC ${decode_sources})
target_link_libraries(occ_decode PUBLIC occ_core
                      PRIVATE PkgConfig::ZSTD $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> $<BUILD_INTERFACE:occ_flags>)

add_library(occ_model STATIC ${model_sources})
target_link_libraries(occ_model PUBLIC occ_decode
                      PRIVATE PkgConfig::PCRE2 $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> $<BUILD_INTERFACE:occ_flags>)

# The version is part of what archives and unfinished runs say of themselves.
set_source_files_properties(src/compress/join.cc src/cli/main.cc PROPERTIES
                            COMPILE_DEFINITIONS OCC_VERSION="${PROJECT_VERSION}")

# Kernels for CPUs that are better than the baseline, chosen at run time.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(src/operators/strip_vnni.cc src/operators/gemm_vnni.cc PROPERTIES
                              COMPILE_OPTIONS "-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx512vnni"
                              SKIP_PRECOMPILE_HEADERS ON)  # which are made without these flags
endif()

set(occ_libraries core decode model)
if(OCC_WITH_ENCODER)
  add_library(occ_encode STATIC ${encode_sources} ${fit_sources} ${weighted_error})
  target_link_libraries(occ_encode PUBLIC occ_decode
                        PRIVATE PkgConfig::OPENBLAS PkgConfig::LAPACKE PkgConfig::ZSTD $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>
                                $<BUILD_INTERFACE:occ_flags>)

  add_library(occ_calibration STATIC ${calibration_sources})
  target_link_libraries(occ_calibration PUBLIC occ_encode occ_model
                        PRIVATE $<BUILD_INTERFACE:nlohmann_json::nlohmann_json> $<BUILD_INTERFACE:occ_flags>)
  # The text is put into the object file by the assembler, which no one tells the build about.
  set(mixed_text ${PROJECT_SOURCE_DIR}/src/calibration/mixed_text.txt)
  set_source_files_properties(src/calibration/documents.cc PROPERTIES COMPILE_DEFINITIONS OCC_MIXED_TEXT="${mixed_text}"
                                                                      OBJECT_DEPENDS ${mixed_text})
  list(APPEND occ_libraries encode calibration)
endif()

foreach(name IN LISTS occ_libraries)
  target_compile_features(occ_${name} PUBLIC cxx_std_20)
  target_include_directories(occ_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                $<INSTALL_INTERFACE:include>)
  set_target_properties(occ_${name} PROPERTIES EXPORT_NAME ${name})
  add_library(occ::${name} ALIAS occ_${name})
endforeach()

if(NOT OCC_WITH_ENCODER)
  list(FILTER cli_sources EXCLUDE REGEX "/cmd_(compress|compare|analyze|sweep|methods|index)\\.cc$")
  list(FILTER report_sources EXCLUDE REGEX "/(comparison|comparison_page|html_report|analysis_(file|page|summary)|sweep.*)\\.cc$")
endif()
add_library(occ_report STATIC ${report_sources})
target_link_libraries(occ_report PUBLIC occ_model PRIVATE occ_flags nlohmann_json::nlohmann_json)
if(OCC_WITH_SERVER)
  add_library(occ_server STATIC ${server_sources})
  target_link_libraries(occ_server PUBLIC occ_report PRIVATE PkgConfig::HTTPLIB occ_flags nlohmann_json::nlohmann_json)
  set(chat_page ${PROJECT_SOURCE_DIR}/src/server/chat_page.html)  # put into the object file by the assembler
  set_source_files_properties(src/server/chat_page.cc PROPERTIES COMPILE_DEFINITIONS OCC_CHAT_PAGE="${chat_page}"
                                                                 OBJECT_DEPENDS ${chat_page})
else()
  list(FILTER cli_sources EXCLUDE REGEX "/cmd_serve\\.cc$")
endif()
add_executable(occ ${cli_sources})
target_link_libraries(occ PRIVATE occ_report occ_flags CLI11::CLI11 nlohmann_json::nlohmann_json)
if(OCC_WITH_ENCODER)
  set_property(SOURCE src/cli/main.cc src/cli/cmd_decompress.cc APPEND PROPERTY COMPILE_DEFINITIONS OCC_WITH_ENCODER)
  target_link_libraries(occ_report PUBLIC occ_calibration)
endif()
if(OCC_WITH_SERVER)
  set_property(SOURCE src/cli/main.cc APPEND PROPERTY COMPILE_DEFINITIONS OCC_WITH_SERVER)
  target_link_libraries(occ PRIVATE occ_server)
endif()
if(OCC_SANITIZE MATCHES address)
  # Its tests run in the build without sanitizers.
  set_target_properties(occ PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
# Templates of the option parser take most of the time, and nothing here runs long.
target_compile_options(occ PRIVATE $<$<CONFIG:Release>:-O1>)

set(OCC_COMMON_HEADERS <fmt/format.h> <nlohmann/json.hpp> <algorithm> <filesystem> <functional> <map> <memory> <optional>
    <string> <unordered_map> <vector>)
if(OCC_PRECOMPILE)
  target_precompile_headers(occ_core PRIVATE ${OCC_COMMON_HEADERS})
  foreach(name IN LISTS occ_libraries)
    if(NOT name STREQUAL core)
      target_precompile_headers(occ_${name} REUSE_FROM occ_core)
    endif()
  endforeach()
endif()
if(OCC_JOIN)
  foreach(target IN LISTS occ_libraries ITEMS report server)
    if(TARGET occ_${target})
      occ_join_sources(occ_${target})
    endif()
  endforeach()
  occ_join_sources(occ)
endif()
