// Boost.JSON, compiled once into the extension so that a wheel needs no library but Boost.Python.
#include <boost/json/src.hpp>
