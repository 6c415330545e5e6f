# foo_test.cc stands beside foo.cc; each folder of src/ with tests becomes one program <folder>_test, each gtest case one
# ctest test, or a quarter of the cases that OCC_TEST_PROGRAMS selects. Fuzz targets fuzz/<name>_fuzz.cc replay fuzz/corpus/<name>/ (with OCC_FUZZ they are libFuzzer programs).
find_package(GTest REQUIRED)
include(GoogleTest)

# The tests' Python is the one that has numpy, if any.
foreach(candidate /usr/bin/python3 python3)
  execute_process(COMMAND ${candidate} -c "import numpy" RESULT_VARIABLE result OUTPUT_QUIET ERROR_QUIET)
  if(result EQUAL 0)
    set(OCC_PYTHON ${candidate})
    break()
  endif()
endforeach()

set(OCC_DEFAULT_TEST_DATA ${PROJECT_SOURCE_DIR}/../shared/data)
add_library(occ_test_data STATIC ${PROJECT_SOURCE_DIR}/tests/test_data.cc)
target_include_directories(occ_test_data PUBLIC ${PROJECT_SOURCE_DIR}/tests)
target_link_libraries(occ_test_data PUBLIC GTest::gtest PRIVATE occ_flags occ_core)
set_source_files_properties(${PROJECT_SOURCE_DIR}/tests/test_data.cc PROPERTIES
  COMPILE_DEFINITIONS "OCC_DEFAULT_TEST_DATA=\"${OCC_DEFAULT_TEST_DATA}\";OCC_SOURCE_DIR=\"${PROJECT_SOURCE_DIR}\"")
# What is tested is in the libraries; the tests' own code is what takes long to compile.
set(OCC_TEST_OPTIONS $<IF:$<BOOL:${OCC_SANITIZE}>,-O0,$<$<CONFIG:Release>:-O1>>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports its own std::string (PR 105651), and precompiled headers are no longer headers of the system to it.
  list(APPEND OCC_TEST_OPTIONS -Wno-array-bounds -Wno-restrict)
endif()
target_compile_options(occ_test_data PRIVATE ${OCC_TEST_OPTIONS})
# Precompiled headers are shared only between targets that are all independent of their position, or all by default.
set_target_properties(occ_test_data PROPERTIES POSITION_INDEPENDENT_CODE OFF)
target_precompile_headers(occ_test_data PRIVATE <gtest/gtest.h> ${OCC_COMMON_HEADERS})
file(GLOB folders LIST_DIRECTORIES true RELATIVE ${PROJECT_SOURCE_DIR}/src CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/*)
foreach(folder IN LISTS folders)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${folder}/*_test.cc)
  if(sources)
    add_executable(${folder}_test ${sources})
    target_link_libraries(${folder}_test PRIVATE occ_test_data occ_report occ_flags nlohmann_json::nlohmann_json PkgConfig::OPENBLAS
                          PkgConfig::LAPACKE GTest::gtest GTest::gmock GTest::gtest_main)
    target_compile_options(${folder}_test PRIVATE ${OCC_TEST_OPTIONS})
    set_target_properties(${folder}_test PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_precompile_headers(${folder}_test REUSE_FROM occ_test_data)
    if(OCC_TEST_PROGRAMS)
      foreach(shard RANGE 3)
        add_test(NAME ${folder}.${shard} COMMAND ${folder}_test "--gtest_filter=${OCC_TEST_PROGRAMS}" --gtest_brief=1)
        set_tests_properties(${folder}.${shard} PROPERTIES TIMEOUT 1200
          ENVIRONMENT "OCC_PYTHON=${OCC_PYTHON};GTEST_TOTAL_SHARDS=4;GTEST_SHARD_INDEX=${shard}")
      endforeach()
    else()
      gtest_discover_tests(${folder}_test NO_PRETTY_VALUES TEST_PREFIX ${folder}. DISCOVERY_TIMEOUT 120 PROPERTIES TIMEOUT 600
                           ENVIRONMENT "OCC_PYTHON=${OCC_PYTHON}")
    endif()
  endif()
endforeach()

if(OCC_BUILD_FUZZERS)
  file(GLOB fuzzers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/fuzz/*_fuzz.cc)
  if(NOT OCC_FUZZ)
    add_library(occ_replay STATIC ${PROJECT_SOURCE_DIR}/fuzz/replay_main.cc)
    target_link_libraries(occ_replay PRIVATE occ_flags)
  endif()
  add_library(occ_fuzz_model STATIC ${PROJECT_SOURCE_DIR}/fuzz/model_input.cc)
  target_link_libraries(occ_fuzz_model PRIVATE occ_calibration occ_flags)
endif()
foreach(source IN LISTS fuzzers)
  get_filename_component(target ${source} NAME_WE)
  string(REGEX REPLACE "_fuzz$" "" name ${target})
  add_executable(${target} ${source})
  target_link_libraries(${target} PRIVATE occ_fuzz_model occ_calibration occ_flags)
  if(OCC_FUZZ)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz.${name} COMMAND ${target} -runs=0 ${PROJECT_SOURCE_DIR}/fuzz/corpus/${name})
  else()
    target_link_libraries(${target} PRIVATE occ_replay)
    add_test(NAME fuzz.${name} COMMAND ${target} ${PROJECT_SOURCE_DIR}/fuzz/corpus/${name})
  endif()
endforeach()

add_test(NAME repository.include_order COMMAND ${PROJECT_SOURCE_DIR}/scripts/check_includes.sh)
if(OCC_PYTHON)
  add_test(NAME repository.links COMMAND ${OCC_PYTHON} ${PROJECT_SOURCE_DIR}/tests/links_test.py)
  add_test(NAME repository.figures COMMAND ${OCC_PYTHON} ${PROJECT_SOURCE_DIR}/benchmarks/size_kl.py --check)
  add_test(NAME repository.theory COMMAND ${OCC_PYTHON} ${PROJECT_SOURCE_DIR}/experiments/theory/figures.py --check)
endif()

# Miniatures of the experiments; they also hold their pages to their records.
if(NOT OCC_SANITIZE AND OCC_PYTHON AND OCC_BUILD_EXPERIMENTS)
  foreach(name toy_basis_vs_mlp axis_transform_analysis)
    add_test(NAME experiments.${name} COMMAND ${OCC_PYTHON} ${PROJECT_SOURCE_DIR}/experiments/${name}/figures.py --check $<TARGET_FILE:occ>)
  endforeach()
  add_test(NAME experiments.tinyllama_validation COMMAND ${OCC_PYTHON} ${PROJECT_SOURCE_DIR}/experiments/tinyllama_validation/figures.py
           --check $<TARGET_FILE:occ> $<TARGET_FILE:proxies> ${OCC_DEFAULT_TEST_DATA})
  set_tests_properties(experiments.tinyllama_validation PROPERTIES SKIP_RETURN_CODE 77)
endif()

if(NOT OCC_SANITIZE AND OCC_PYTHON)
  foreach(part flags help json commands)
    add_test(NAME repository.docs_${part} COMMAND ${OCC_PYTHON} ${PROJECT_SOURCE_DIR}/tests/docs_test.py $<TARGET_FILE:occ> ${part})
    set_tests_properties(repository.docs_${part} PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77
      ENVIRONMENT "OCC_DEFAULT_TEST_DATA=${OCC_DEFAULT_TEST_DATA}")
  endforeach()
endif()
if(NOT OCC_SANITIZE)
  foreach(name install decode_only)
    add_test(NAME repository.${name} COMMAND ${PROJECT_SOURCE_DIR}/tests/${name}_test.sh ${PROJECT_BINARY_DIR} ${CMAKE_CXX_COMPILER})
    set_tests_properties(repository.${name} PROPERTIES SKIP_RETURN_CODE 77)
  endforeach()
endif()
if(NOT OCC_SANITIZE AND OCC_PYTHON)
  add_test(NAME repository.python COMMAND ${PROJECT_SOURCE_DIR}/tests/python_test.sh ${PROJECT_BINARY_DIR})
  set_tests_properties(repository.python PROPERTIES TIMEOUT 1500 SKIP_RETURN_CODE 77
    ENVIRONMENT "OCC_PYTHON=${OCC_PYTHON};OCC_DEFAULT_TEST_DATA=${OCC_DEFAULT_TEST_DATA}")
endif()

# `occ` whose calls fail on demand, for tests/cli/faults_test.sh. Sanitizers have an operator new of their own.
if(NOT OCC_SANITIZE)
  add_executable(occ_faults $<TARGET_OBJECTS:occ> ${PROJECT_SOURCE_DIR}/tests/faults.cc)
  target_link_libraries(occ_faults PRIVATE occ_report occ_flags CLI11::CLI11)
  foreach(function aligned_alloc open pread pwrite fsync rename _ZN3occ11ThreadLimitC1Em
          _ZN3occ20throw_if_interruptedEv)
    target_link_options(occ_faults PRIVATE -Wl,--wrap=${function})
  endforeach()
endif()

# `occ` that runs many command lines, for tests/campaign.
if(NOT OCC_SANITIZE)
  add_executable(occ_serve $<TARGET_OBJECTS:occ> ${PROJECT_SOURCE_DIR}/tests/campaign/serve.cc)
  target_link_libraries(occ_serve PRIVATE occ_report occ_flags CLI11::CLI11)
  target_link_options(occ_serve PRIVATE -Wl,--wrap=main)
endif()

file(GLOB cli_tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/cli/*_test.sh)
foreach(script IN LISTS cli_tests)
  get_filename_component(name ${script} NAME_WE)
  add_test(NAME cli.${name} COMMAND ${script} $<TARGET_FILE:occ>)
  set_tests_properties(cli.${name} PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77
    ENVIRONMENT "OCC_DEFAULT_TEST_DATA=${OCC_DEFAULT_TEST_DATA};OCC_PYTHON=${OCC_PYTHON}")
endforeach()
