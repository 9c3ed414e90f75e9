import FoundationEssentials
import Report
import Testing

@testable import ClusterRuntime

@Suite("Static pods")
struct StaticPodTests {
    static func manifest(_ flag: String, path: String = "/etc/ssl/certs") -> String {
        """
        apiVersion: v1
        kind: Pod
        metadata:
          annotations: {a: b}
          name: kube-apiserver
        spec:
          containers:
          - command:
            - kube-apiserver
            - --\(flag)
            image: k8s.gcr.io/kube-apiserver:v1.20.2
          volumes:
          - hostPath: {path: \(path), type: DirectoryOrCreate}
            name: ca-certs
        status: {}
        """
    }

    static func mirror(_ flag: String, hash: String, ready: String? = "True", component: String = "kube-apiserver")
        -> String
    {
        let condition = ready.map { #"{"type":"Ready","status":"\#($0)"}"# } ?? ""
        return """
            {"metadata":{"name":"\(component)-m","annotations":{"kubernetes.io/config.hash":"\(hash)"}},
             "spec":{"containers":[{"name":"c","command":["kube-apiserver","--\(flag)"],
             "image":"k8s.gcr.io/kube-apiserver:v1.20.2"}],
             "volumes":[{"name":"ca-certs","hostPath":{"path":"/etc/ssl/certs","type":"DirectoryOrCreate"}}]},
             "status":{"conditions":[\(condition)]}}
            """
    }

    private func pod(_ mirror: String) throws -> StaticPod {
        try #require(
            StaticPod.mirrors(fromJSON: Data("{\"items\":[\(mirror)]}".utf8))["kube-apiserver-m"])
    }

    @Test("are the same in their file and in the API server, or are not")
    func compared() throws {
        let file = try StaticPod(manifest: Data(Self.manifest("v=2").utf8), at: "m")
        let same = try pod(Self.mirror("v=2", hash: "h"))
        #expect(file.body == same.body)
        #expect(same.isReady && same.hash == "h")
        #expect(try file.body != pod(Self.mirror("v=3", hash: "h")).body)
        #expect(try StaticPod(manifest: Data(Self.manifest("v=2", path: "/x").utf8), at: "m").body != same.body)
        #expect(try !pod(Self.mirror("v=2", hash: "h", ready: nil)).isReady)
        #expect(try !pod(Self.mirror("v=2", hash: "h", ready: "False")).isReady)
    }

    @Test("that are none are refused", arguments: ["", "a: [", "kind: Pod", "spec: {containers: []}", "- 1"])
    func refused(text: String) {
        #expect(throws: (any Error).self) { try StaticPod(manifest: Data(text.utf8), at: "m") }
        #expect(throws: Failure.self) { try StaticPod.mirrors(fromJSON: Data(text.utf8)) }
    }
}
