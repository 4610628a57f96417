/* What the shared library exports, and what callers must not ignore. */
#ifndef PS_EXPORT_H
#define PS_EXPORT_H

#if defined(__GNUC__)
#define PS_API __attribute__((visibility("default")))
#define PS_CHECKED __attribute__((warn_unused_result))
#else
#define PS_API
#define PS_CHECKED
#endif

#endif
