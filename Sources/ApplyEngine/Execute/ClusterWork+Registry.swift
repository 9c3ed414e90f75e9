import ClusterRuntime
import Clusterfile
import Distribution
import FoundationEssentials
import ImageStore
import OCI
import Remote
import Report

/// The registry of the cluster, as a source of bytes and as something that ends.
extension ClusterWork {
    /// Where a host gets the image from: of the masters' registries one has it for certain, the one that the operator sent it to.
    func registry(for node: NodeBlueprint) throws -> ImageDistribution.Source {
        let address = try self.node(source.registryHost ?? firstName, try blueprint()).address
        return ImageDistribution.Source(
            url: source.settings.registry.url, address: address, authority: source.identity.registry.authority)
    }

    /// Ends the registry on a master that shall not run it any more, and takes the image out of its store. Where the store was
    /// there before sealer came, it is somebody's own, and its images stay.
    func endRegistry(_ node: NodeBlueprint, _ host: any Host, _ handle: Step) async throws {
        try await RegistryService.withdraw(from: host)
        let mark = await marks.mark(of: node.host)
        if mark?.image == source.image.descriptor.digest, HostReset.bringsStore(mark) {
            let executable = try seen(node.host).executable
            let result = try await host.run(
                RemoteCommand([
                    executable, "rmi", "--root", BlueprintSource.nodeRoot, source.cluster.image.description,
                ]), limit: .seconds(300), output: { handle.note($0.text) })
            // An earlier attempt may have removed it already.
            guard result.status == 0 || result.status == Failure.Kind.notFound.exitCode else {
                throw Failure(
                    .commandFailed,
                    "the image could not be removed from the store: \(String(decoding: result.error, as: UTF8.self))",
                    at: node.host)
            }
        }
        try await marks.change(host) { $0.image = nil }
    }
}
