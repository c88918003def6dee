#pragma once
// qtforge/python/python_conversion.hpp: which C++ values go to Python and come back, and how a type of one's own does.

#include <qtforge/utils/error.hpp>

#include <concepts>
#include <type_traits>

namespace qtforge::inline QTFORGE_ABI::python {

/// How values of a type of one's own go to Python and come back: as values of a type that does already. Specialise it
/// where the type is declared, with one function or both:
///
///     template <>
///     struct qtforge::python::PythonConversion<Celsius> {
///       static double toPython(const Celsius& value) { return value.degrees; }
///       static qtforge::expected<Celsius> fromPython(double degrees);  // or Celsius
///     };
///
/// What toPython() returns and what fromPython() takes may be any of the types below, containers and types with a
/// conversion of their own included, and need not be the same. An error of fromPython(), and what either throws, is the
/// error of the call (Errc::ConversionFailed), with the place. They run under the GIL and must not wait.
///
/// | C++ | in Python | from Python, beside that |
/// |---|---|---|
/// | `bool` | `bool` | numpy's bool |
/// | integers but the character types | `int` | what has `__index__`; never `bool`, and nothing out of range |
/// | `float`, `double` | `float` | `int`, what has `__float__` |
/// | `std::string`, as arguments also `std::string_view` and `const char*` | `str` | |
/// | `std::nullptr_t`, `std::monostate`, an empty `std::optional` | `None` | |
/// | `std::vector` and what has its `insert`, `std::array` | `list` | tuples, sets, sequences |
/// | of these what holds numbers | `list` | buffers of that element type, as numpy's arrays are, in one copy |
/// | `std::map`, `std::unordered_map` | `dict` | |
/// | `std::pair`, `std::tuple` | `tuple` | lists of that length |
/// | `std::variant` | as what it holds | the first that fits exactly, else the first that fits |
/// | classes described with Boost.Describe | `dict` | more keys than members; None for what is optional may lack |
/// | `std::chrono::duration` | `datetime.timedelta`, whole microseconds | what the type can have exactly |
/// | `time_point` of `std::chrono::system_clock` | `datetime.datetime` in UTC | other time zones; never without one |
/// | `std::filesystem::path` | `pathlib.Path` | `str`, `bytes`, what has `__fspath__` |
/// | `boost::json::value`, `object`, `array`, what `boost::json::value_from` and `value_to` know | as JSON | |
/// | `BinaryMessage` | `qtforge.BinaryMessage` | what it is made of: bytes, numpy's arrays |
/// | `Buffer` | read-only `memoryview` that shares the bytes | `bytes` and views of them shared, other buffers copied |
/// | `std::span` of numbers, as argument | read-only `memoryview`, not copied, for the call alone | |
/// | `PythonValue` | what it holds | all that goes into JSON, bytes, buffers |
///
/// In containers all of them may stand but `std::string_view`, which is text of somebody else. What comes back as such is
/// made with a default constructor.
template <class T>
struct PythonConversion {};

namespace detail {

template <class T>
concept GoesToPython = requires(const T& value) { PythonConversion<T>::toPython(value); };

template <class F>
struct ArgumentOf;
template <class R, class A>
struct ArgumentOf<R (*)(A)> : std::type_identity<std::remove_cvref_t<A>> {};
template <class R, class A>
struct ArgumentOf<R (*)(A) noexcept> : std::type_identity<std::remove_cvref_t<A>> {};

template <class T>
concept ComesFromPython = requires { typename ArgumentOf<decltype(&PythonConversion<T>::fromPython)>::type; };

template <class T>
concept HasOwnConversion = GoesToPython<T> || ComesFromPython<T>;

}  // namespace detail
}  // namespace qtforge::inline QTFORGE_ABI::python
