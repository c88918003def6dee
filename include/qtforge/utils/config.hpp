#pragma once
// qtforge/utils/config.hpp: versions, the namespace that carries them, and the tag that two binaries must share.

#include <boost/version.hpp>
#include <cstddef>

#if !defined(__cpp_exceptions)
#error "qtforge needs exceptions: remove -fno-exceptions."
#endif
#if !defined(__cpp_rtti) && !defined(__GXX_RTTI)
#error "qtforge needs run-time type information: remove -fno-rtti."
#endif
#if BOOST_VERSION < 108100
#error "qtforge needs Boost 1.81 or newer."
#endif

#define QTFORGE_VERSION_MAJOR 0
#define QTFORGE_VERSION_MINOR 1
#define QTFORGE_VERSION_PATCH 0
#define QTFORGE_VERSION "0.1.0"

#define QTFORGE_DETAIL_TEXT_(x) #x
#define QTFORGE_DETAIL_TEXT(x) QTFORGE_DETAIL_TEXT_(x)
#define QTFORGE_DETAIL_JOIN_(a, b) a##b
#define QTFORGE_DETAIL_JOIN(a, b) QTFORGE_DETAIL_JOIN_(a, b)

/// Inline namespace of all that qtforge defines, so that binaries with another version or Boost never share a symbol.
#define QTFORGE_ABI QTFORGE_DETAIL_JOIN(v0_1_boost, BOOST_VERSION)

#if defined(__GXX_ABI_VERSION)
#define QTFORGE_DETAIL_CXXABI "itanium"
#else
#define QTFORGE_DETAIL_CXXABI "unknown"
#endif
#if defined(_GLIBCXX_USE_CXX11_ABI)
#define QTFORGE_DETAIL_STDLIB "libstdc++/cxx11=" QTFORGE_DETAIL_TEXT(_GLIBCXX_USE_CXX11_ABI)
#elif defined(_LIBCPP_ABI_VERSION)
#define QTFORGE_DETAIL_STDLIB "libc++/abi=" QTFORGE_DETAIL_TEXT(_LIBCPP_ABI_VERSION)
#else
#define QTFORGE_DETAIL_STDLIB "unknown"
#endif
#if defined(_GLIBCXX_DEBUG)
#define QTFORGE_DETAIL_DEBUG "debug"
#else
#define QTFORGE_DETAIL_DEBUG "plain"
#endif
#if defined(__SANITIZE_ADDRESS__)
#define QTFORGE_DETAIL_SANITIZER "address"
#elif defined(__SANITIZE_THREAD__)
#define QTFORGE_DETAIL_SANITIZER "thread"
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define QTFORGE_DETAIL_SANITIZER "address"
#elif __has_feature(thread_sanitizer)
#define QTFORGE_DETAIL_SANITIZER "thread"
#endif
#endif
#if !defined(QTFORGE_DETAIL_SANITIZER)
#define QTFORGE_DETAIL_SANITIZER "none"
#endif

/// What a host and a native plugin must have in common, as text; equal tags mean that C++ values may cross.
#define QTFORGE_ABI_TAG                                                                         \
  "qtforge=0.1 cxxabi=" QTFORGE_DETAIL_CXXABI " stdlib=" QTFORGE_DETAIL_STDLIB                 \
  " mode=" QTFORGE_DETAIL_DEBUG " sanitizer=" QTFORGE_DETAIL_SANITIZER " boost=" BOOST_LIB_VERSION

namespace qtforge::inline QTFORGE_ABI {

/// The version of the plugin interface, which `isCompatible` receives: "1.0.0" from the first release on.
inline constexpr const char* pluginApiVersion = "1.0.0";

}  // namespace qtforge::inline QTFORGE_ABI
