# Writes the commit that a build belongs to into OUTPUT, "+" behind it where the tree was changed; only if it is another one.
set(commit unknown)
if(GIT)
  execute_process(COMMAND ${GIT} describe --always --dirty=+ WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE found
    RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT failed)
    set(commit ${found})
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define BENCH_COMMIT \"${commit}\"\n")
