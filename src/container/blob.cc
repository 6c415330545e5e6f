#include "container/blob.h"

#include "base/error.h"

namespace occ {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint64_t kMaxPlanes = 4096;

}  // namespace

uint64_t blob_bytes(const std::vector<uint64_t>& plane_sizes) {
  uint64_t n = varint_bytes(plane_sizes.size());
  for (const uint64_t size : plane_sizes) n += varint_bytes(size) + size;
  return (n + kAlignment - 1) / kAlignment * kAlignment;
}

Bytes pack_blob(const std::vector<CodedPlane>& planes) {
  std::vector<uint64_t> sizes;
  for (const CodedPlane& p : planes) sizes.push_back(p.bytes.size());
  ByteWriter out;
  out.reserve(blob_bytes(sizes));
  out.put_varint(planes.size());
  for (const uint64_t size : sizes) out.put_varint(size);
  for (const CodedPlane& p : planes) out.put_bytes(p.bytes);
  while (out.size() % kAlignment != 0) out.put<uint8_t>(0);
  return out.take();
}

std::vector<ByteSpan> unpack_blob(ByteSpan blob, const std::string& what) {
  ByteReader in(blob, what);
  const uint64_t count = in.get_varint();
  if (count > kMaxPlanes) throw_input("{}: expected at most {} planes, found {}", what, kMaxPlanes, count);
  std::vector<uint64_t> sizes(count);
  for (uint64_t& size : sizes) size = in.get_varint();
  std::vector<ByteSpan> planes;
  for (const uint64_t size : sizes) planes.push_back(in.get_bytes(size));
  if (in.remaining() >= kAlignment) {
    throw_input("{}: expected padding of at most {} bytes, found {}", what, kAlignment - 1, in.remaining());
  }
  while (!in.done()) {
    if (in.get<uint8_t>() != 0) throw_input("{}: expected zeros as padding at byte {}", what, in.at() - 1);
  }
  return planes;
}

}  // namespace occ
