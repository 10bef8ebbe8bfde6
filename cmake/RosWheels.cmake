# ROS 2 from wheels: the exported targets name include folders of the machine that built the wheels,
# and cmake refuses targets whose include folders do not exist. Once everything has been found, drop
# the missing ones. In an ordinary ROS 2 install every folder exists and nothing changes.

function(lram_drop_missing_include_folders)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT folders)
      continue()
    endif()
    set(present "")
    foreach(folder IN LISTS folders)
      if(folder MATCHES "^\\$<" OR EXISTS "${folder}")
        list(APPEND present "${folder}")
      endif()
    endforeach()
    set_property(TARGET ${target} PROPERTY INTERFACE_INCLUDE_DIRECTORIES "${present}")
  endforeach()
endfunction()

cmake_language(DEFER CALL lram_drop_missing_include_folders)
