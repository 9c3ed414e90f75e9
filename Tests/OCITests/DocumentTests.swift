import FoundationEssentials
import OCI
import Report
import Testing

@Suite("Manifests and indexes")
struct DocumentTests {
    static let digest = "sha256:" + String(repeating: "0", count: 64)
    static let descriptor = #"{"mediaType":"x/y","digest":"\#(digest)","size":3}"#

    @Test("are parsed as what they were announced")
    func parse() throws {
        let manifest = Data(#"{"schemaVersion":2,"config":\#(Self.descriptor),"layers":[\#(Self.descriptor)]}"#.utf8)
        #expect(try Document(manifest, mediaType: MediaType.manifest).references.count == 2)
        let index = Data(#"{"schemaVersion":2,"manifests":[]}"#.utf8)
        #expect(try Document(index, mediaType: MediaType.index).references.isEmpty)
    }

    @Test(
        "that are both, neither, or lie about their type are refused",
        arguments: [
            (#"{"schemaVersion":2,"config":D,"layers":[],"manifests":[]}"#, MediaType.manifest),
            (#"{"schemaVersion":2,"config":D,"layers":[],"manifests":[]}"#, MediaType.index),
            (#"{"schemaVersion":2}"#, MediaType.manifest),
            (#"{"schemaVersion":2,"manifests":[]}"#, MediaType.manifest),
            (#"{"schemaVersion":2,"config":D,"layers":[]}"#, MediaType.index),
            (
                #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","config":D,"layers":[]}"#,
                MediaType.manifest
            ),
            (#"{"schemaVersion":1,"config":D,"layers":[]}"#, MediaType.manifest),
            (
                #"{"schemaVersion":2,"config":D,"layers":[{"mediaType":"x","digest":"sha256:../../x","size":1}]}"#,
                MediaType.manifest
            ),
            (
                #"{"schemaVersion":2,"config":D,"layers":[{"mediaType":"x","digest":"DG","size":-1}]}"#,
                MediaType.manifest
            ),
            ("<html>not found</html>", MediaType.manifest),
            ("", MediaType.index),
        ])
    func refused(text: String, mediaType: String) {
        let json = text.replacing("\"DG\"", with: "\"\(Self.digest)\"").replacing("D,", with: "\(Self.descriptor),")
        let failure = #expect(throws: Failure.self) { try Document(Data(json.utf8), mediaType: mediaType) }
        #expect(failure?.kind == .integrity)
    }

    @Test("we write have sorted keys, no white space and plain slashes")
    func canonical() throws {
        let config = Descriptor(mediaType: "x/y", digest: try Digest(Self.digest), size: 3)
        let text = String(decoding: try canonicalJSON(ImageManifest(config: config, layers: [])), as: UTF8.self)
        #expect(
            text
                == #"{"config":{"digest":"\#(Self.digest)","mediaType":"x/y","size":3},"layers":[],"#
                + #""mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}"#
        )
    }
}
