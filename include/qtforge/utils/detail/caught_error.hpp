#pragma once
// qtforge/utils/detail/caught_error.hpp: the exception that is being handled as an Error, with its type and its causes.

#include <qtforge/utils/error.hpp>

#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <typeinfo>

namespace qtforge::inline QTFORGE_ABI::detail {

/// A type's name as its author writes it: without inline namespaces of the library, and of an exception without what
/// std::throw_with_nested and boost::throw_exception wrap around it.
inline std::string typeName(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
  std::string name = text ? text.get() : type.name();
  for (const std::string_view hidden : {"__1::", "__cxx11::"})
    for (std::size_t at; (at = name.find(hidden)) != std::string::npos;) name.erase(at, hidden.size());
  for (const std::string_view wrapper : {"std::_Nested_exception<", "std::__nested<", "boost::wrapexcept<"})
    if (name.starts_with(wrapper) && name.ends_with('>')) {
      name = name.substr(wrapper.size(), name.size() - wrapper.size() - 1);
      while (name.ends_with(' ')) name.pop_back();
    }
  return name;
}

/// One exception of a chain.
struct CaughtException {
  Error error;               // of a qtforge::Exception it is its own
  std::exception_ptr cause;  // what std::throw_with_nested found; may be null
};

/// The exception that is being handled.
inline CaughtException caughtException() {
  try {
    throw;
  } catch (const std::exception& e) {
    const auto* nested = dynamic_cast<const std::nested_exception*>(&e);
    const auto cause = nested ? nested->nested_ptr() : std::exception_ptr();
    if (const auto* own = dynamic_cast<const Exception*>(&e)) return {own->error(), cause};
    const auto type = typeName(typeid(e));
    return {Error(Errc::HandlerFailed, type == e.what() ? type : type + ": " + e.what()), cause};
  } catch (const std::nested_exception& e) {
    return {Error(Errc::HandlerFailed, typeName(typeid(e)) + ", which is no std::exception"), e.nested_ptr()};
  } catch (...) {
    const auto* type = abi::__cxa_current_exception_type();  // null: of another language
    return {Error(Errc::HandlerFailed, (type ? typeName(*type) : "an exception") + ", which is no std::exception"), {}};
  }
}

/// The exception that is being handled with its causes, the nearest first: `std::runtime_error: no picture; caused by
/// std::system_error: open: No such file or directory`. Where one of them came from Python, with its type and traceback.
inline Error caughtError() noexcept {
  auto [error, cause] = caughtException();
  while (cause) {
    try {
      std::rethrow_exception(cause);
    } catch (...) {
      auto next = caughtException();
      const auto& python = error.pythonType().empty() ? next.error : error;
      error = Error(error.code(), error.message() + "; caused by " + next.error.message(), python.pythonType(),
                    python.traceback());
      cause = std::move(next.cause);
    }
  }
  return error;
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
