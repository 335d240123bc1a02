# A sandbox for trading bots; publish its port on loopback only: docker run --publish 127.0.0.1:8650:8650 ...
FROM python:3.13-slim
COPY . /src
RUN pip install --no-cache-dir '/src[cli,sandbox]' && rm -r /src && mkdir /data && chown 65534 /data
USER 65534
VOLUME /data
EXPOSE 8650
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["binance-margin-stream", "sandbox", "--host", "0.0.0.0", "--i-understand-that-this-listens-beyond-loopback"]
CMD ["--persist", "/data/exchange.db"]
