# What `cmake --install` puts where: headers, both libraries, the pkg-config file and the CMake package. The package's
# targets are written by hand in padstone-config.cmake.in: install(EXPORT) cannot name the object library inside.

# pkg-config modules, and flags, that the static library needs from whoever links it.
set(PS_PRIVATE_MODULES liburing libxxhash libsodium libzstd)
set(PS_PRIVATE_LIBS -pthread)
# By name, not as modules: libcurl's own private libraries are not all to be had as static ones, so a program that holds
# this one linked statically takes these as shared libraries.
if(PS_HAVE_S3)
  list(APPEND PS_PRIVATE_LIBS -lcurl -lexpat)
  if(CRYPTO_FOUND)
    list(APPEND PS_PRIVATE_LIBS -lcrypto)
  endif()
endif()
list(JOIN PS_PRIVATE_MODULES " " PS_PC_REQUIRES)
list(JOIN PS_PRIVATE_LIBS " " PS_PC_LIBS)
list(JOIN PS_PRIVATE_LIBS ";" PS_CONFIG_LIBS)

install(TARGETS padstone padstone_static
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PS_PUBLIC_HEADERS} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/padstone)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

include(CMakePackageConfigHelpers)
set(PS_CONFIG_FOLDER ${CMAKE_INSTALL_LIBDIR}/cmake/padstone)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/padstone-config.cmake.in
  ${CMAKE_BINARY_DIR}/install/padstone-config.cmake INSTALL_DESTINATION ${PS_CONFIG_FOLDER}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/install/padstone-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/install/padstone-config.cmake
  ${CMAKE_BINARY_DIR}/install/padstone-config-version.cmake DESTINATION ${PS_CONFIG_FOLDER})

# The prefix is relative to the file: `cmake --install --prefix` may choose another than configure did.
file(RELATIVE_PATH PS_PC_UP /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_CURRENT_LIST_DIR}/padstone.pc.in ${CMAKE_BINARY_DIR}/install/padstone.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/install/padstone.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
