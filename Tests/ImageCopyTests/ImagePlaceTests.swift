import ImageCopy
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@Suite("Places of images")
struct ImagePlaceTests {
    @Test("are told by their prefix; the first colon ends a path")
    func parse() throws {
        #expect(try ImagePlace("docker://example.org:5000/a:1") == .registry(Reference("example.org:5000/a:1")))
        #expect(try ImagePlace("oci:/tmp/x") == .layout("/tmp/x", name: nil))
        #expect(try ImagePlace("oci:x:docker.io/library/a:1") == .layout("x", name: "docker.io/library/a:1"))
        #expect(try ImagePlace("oci-archive:a.tar:a@sha256:0") == .archive("a.tar", name: "a@sha256:0"))
        #expect(try ImagePlace("shop:1.0") == .store("shop:1.0"))
        #expect(try ImagePlace("localhost:5000/a") == .store("localhost:5000/a"))
    }

    @Test(
        "that are none are wrong usage",
        arguments: ["docker://", "docker://A B", "oci:", "oci::a", "oci-archive:a:", "ftp://a"])
    func refused(text: String) {
        let failure = #expect(throws: Failure.self) { try ImagePlace(text) }
        #expect(failure?.kind == .usage)
    }
}
