# find_package(occ) gives occ::core, occ::decode, occ::model (all without BLAS), occ::encode and occ::calibration. The last two have
# a file of targets of their own, so that find_package(occ COMPONENTS decode) asks for nothing that only they need.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/occ)
install(TARGETS occ_core occ_decode occ_model EXPORT occ-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT occ-targets NAMESPACE occ:: DESTINATION ${package_folder})
if(OCC_WITH_ENCODER)
  install(TARGETS occ_encode occ_calibration EXPORT occ-encoder-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT occ-encoder-targets NAMESPACE occ:: DESTINATION ${package_folder})
endif()
install(TARGETS occ RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/occ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/occ-config.cmake.in ${PROJECT_BINARY_DIR}/occ-config.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/occ-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/occ-config.cmake ${PROJECT_BINARY_DIR}/occ-config-version.cmake
        DESTINATION ${package_folder})
