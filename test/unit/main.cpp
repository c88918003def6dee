// The one place that says BOOST_TEST_MODULE: every other file here holds the suites of one header.
#define BOOST_TEST_MODULE unit
#include <boost/test/unit_test.hpp>

#include <qtforge/host.hpp>  // what runs the buses of all other files
