import FoundationEssentials
import OCI
import Report
import TestSupport
import Testing

@testable import ImageStore

@Suite("A name that moves")
struct MovedNamesTests {
    private func image(_ text: String, in store: ImageStore) async throws -> Descriptor {
        try await store.put(Data(text.utf8), mediaType: MediaType.manifest)
    }

    private func names(_ store: ImageStore) async throws -> [String: Digest] {
        Dictionary(
            uniqueKeysWithValues: try await store.names().map { ($0.reference.description, $0.descriptor.digest) })
    }

    @Test("leaves its image a name by digest, if it has no other one in the repository")
    func keeps() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let (first, second) = (try await image("1", in: store), try await image("2", in: store))
        let (tag, other) = (try Reference("r.test/app:v1"), try Reference("r.test/app:v2"))
        try await store.move(tag, to: first)
        try await store.move(tag, to: first)
        #expect(try await names(store) == ["r.test/app:v1": first.digest])
        // Elsewhere does not count.
        try await store.tag(first, as: Reference("r.test/other:v1"))
        try await store.move(tag, to: second)
        #expect(
            try await names(store) == [
                "r.test/app:v1": second.digest, "r.test/app@\(first.digest)": first.digest,
                "r.test/other:v1": first.digest,
            ])
        try await store.move(other, to: second)
        try await store.move(other, to: first)
        #expect(
            try await names(store) == [
                "r.test/app:v1": second.digest, "r.test/app:v2": first.digest,
                "r.test/app@\(first.digest)": first.digest,
                "r.test/other:v1": first.digest,
            ])
        // One that is taken away leaves it the same way; one that has moved stays.
        try await store.release(tag, ifStandsFor: first.digest)
        #expect(try await names(store)["r.test/app:v1"] == second.digest)
        try await store.release(tag, ifStandsFor: second.digest)
        #expect(try await names(store)["r.test/app:v1"] == nil)
        #expect(try await names(store)["r.test/app@\(second.digest)"] == second.digest)
        try await store.release(tag, ifStandsFor: second.digest)
        let absent = Descriptor(mediaType: MediaType.manifest, digest: .of(Data("none".utf8)), size: 4)
        await #expect(throws: Failure.self) { try await store.move(tag, to: absent) }
    }

    /// Each of two tags sees that the other one still stands for the image, and both go.
    @Test("never leaves its image without a name, whoever moves what at the same time")
    func atOnce() async throws {
        let scratch = try Scratch()
        let store = try await ImageStore.open(scratch.path)
        let image = try await image("it", in: store)
        let others = [try await self.image("1", in: store), try await self.image("2", in: store)]
        let tags = [try Reference("r.test/app:a"), try Reference("r.test/app:b")]
        for _ in 0..<20 {
            for tag in tags { try await store.move(tag, to: image) }
            try await store.untag(Reference("r.test/app@\(image.digest)"))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (tag, other) in zip(tags, others) { group.addTask { try await store.move(tag, to: other) } }
                group.addTask {
                    for _ in 0..<5 {
                        let isNamed = try await store.names().contains { $0.descriptor.digest == image.digest }
                        #expect(isNamed)
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await names(store)["r.test/app@\(image.digest)"] == image.digest)
        }
    }
}
