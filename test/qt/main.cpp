// The one place that says BOOST_TEST_MODULE: every other file here holds the suite of one header.
#define BOOST_TEST_MODULE qt
#include <boost/test/unit_test.hpp>

#include <qtforge/host.hpp>
