# The comments of the headers in the form that Doxygen reads: the first line is the file's comment, others stand before what
# they are about, behind it, or behind the brace that opens a body.
1s|^// |/// \\file\n/// |
s|^( *)//( .*)?$|\1///\2|
s|^(.*\{) +// (.*)$|/// \2\n\1|
s|([;,}]) +// |\1  ///< |
# Functions that have no room for words of their own.
s|^ *[A-Za-z]+(& operator=)?\([A-Za-z]+&&.*|/// Moves.\n&|
s|^ *MatrixView sub\(.*|/// The elements of a rectangle, which must lie inside.\n&|
