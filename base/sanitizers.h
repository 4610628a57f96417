/* Which sanitizer the code is compiled for: 1 or 0. */
#ifndef PS_BASE_SANITIZERS_H
#define PS_BASE_SANITIZERS_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PS_THREAD_SANITIZER 1
#endif
#if __has_feature(address_sanitizer)
#define PS_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define PS_THREAD_SANITIZER 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define PS_ADDRESS_SANITIZER 1
#endif
#ifndef PS_THREAD_SANITIZER
#define PS_THREAD_SANITIZER 0
#endif
#ifndef PS_ADDRESS_SANITIZER
#define PS_ADDRESS_SANITIZER 0
#endif

#endif
