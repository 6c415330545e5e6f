# find_package(occ) gives occ::core, occ::decode, occ::model (both without BLAS), occ::encode and occ::calibration (both together).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS occ_core occ_decode occ_model occ_encode occ_calibration EXPORT occ-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS occ RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/occ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT occ-targets NAMESPACE occ:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/occ)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/occ-config.cmake.in ${PROJECT_BINARY_DIR}/occ-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/occ)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/occ-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/occ-config.cmake ${PROJECT_BINARY_DIR}/occ-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/occ)
